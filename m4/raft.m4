dnl libraft 0.15: roles, pre-vote, snapshots off the loop. Newer ones of the cowsql line keep the API (Debian 12: 0.15).
AC_DEFUN([ONEOS_RAFT], [PKG_CHECK_MODULES([RAFT], [raft >= 0.15])])
