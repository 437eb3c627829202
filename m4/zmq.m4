dnl libzmq 4.2 brought the User-Id metadata of ZAP on every message; CURVE must be compiled in, which only a run can tell (Debian 12: 4.3.4).
AC_DEFUN([ONEOS_ZMQ], [
  PKG_CHECK_MODULES([ZMQ], [libzmq >= 4.2])
  AC_MSG_CHECKING([whether libzmq has CURVE])
  saved_CFLAGS="$CFLAGS" saved_LIBS="$LIBS"
  CFLAGS="$CFLAGS $ZMQ_CFLAGS" LIBS="$LIBS $ZMQ_LIBS"
  AC_RUN_IFELSE([AC_LANG_PROGRAM([[#include <zmq.h>]], [[return !zmq_has("curve");]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_ERROR([this libzmq has no CURVE: install one built with libsodium])],
    [AC_MSG_RESULT([cross compiling, assumed])])
  CFLAGS="$saved_CFLAGS" LIBS="$saved_LIBS"
])
