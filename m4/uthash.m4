dnl uthash: headers only, no pkg-config file.
AC_DEFUN([ONEOS_UTHASH], [
  AC_CHECK_HEADERS([uthash.h], [], [AC_MSG_ERROR([uthash.h not found: install uthash-dev])])
])
