dnl --enable-fuzz: build the fuzz targets with clang's libFuzzer; without it they are plain
dnl programs that run over the files of their corpus, so that they never rot.
AC_DEFUN([ONEOS_FUZZ], [
  AC_ARG_ENABLE([fuzz], [AS_HELP_STRING([--enable-fuzz], [libFuzzer targets (needs clang)])],
    [], [enable_fuzz=no])
  AS_IF([test "x$enable_fuzz" = xyes],
    [SANITIZER_CFLAGS="$SANITIZER_CFLAGS -fsanitize=fuzzer-no-link"])
  AM_CONDITIONAL([FUZZ], [test "x$enable_fuzz" = xyes])
])
