dnl libuuid: any version of this century; for the ids of machines that were not given one.
AC_DEFUN([ONEOS_UUID], [PKG_CHECK_MODULES([UUID], [uuid])])
