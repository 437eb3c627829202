dnl inih: `name = value` files with the line number of what is wrong (Debian 12: r55).
AC_DEFUN([ONEOS_INIH], [PKG_CHECK_MODULES([INIH], [inih])])
