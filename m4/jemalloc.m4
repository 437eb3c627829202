dnl ONEOS_JEMALLOC: links the daemon with jemalloc, unless --without-jemalloc or with a sanitizer (src/heap.c).
AC_DEFUN([ONEOS_JEMALLOC], [
  AC_ARG_WITH([jemalloc],
    [AS_HELP_STRING([--without-jemalloc], [leave the memory of the daemon to the C library])],
    [], [with_jemalloc=check])
  AS_IF([test "$enable_sanitizer" != no], [with_jemalloc=no])
  have_jemalloc=no
  AS_IF([test "$with_jemalloc" != no],
    [PKG_CHECK_MODULES([JEMALLOC], [jemalloc >= 5], [have_jemalloc=yes],
      [AS_IF([test "$with_jemalloc" = yes], [AC_MSG_ERROR([there is no jemalloc (libjemalloc-dev)])])])])
  AS_IF([test $have_jemalloc = yes],
    [AC_DEFINE([HAVE_JEMALLOC], [1], [the daemon is linked with jemalloc])])
])
