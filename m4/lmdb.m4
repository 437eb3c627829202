dnl LMDB 0.9: any 0.9 will do (Debian 12: 0.9.24).
AC_DEFUN([ONEOS_LMDB], [PKG_CHECK_MODULES([LMDB], [lmdb])])
