dnl libuv 1.42: the oldest with which the two loops and the pool were tried (Debian 12: 1.44).
AC_DEFUN([ONEOS_UV], [PKG_CHECK_MODULES([UV], [libuv >= 1.42])])
