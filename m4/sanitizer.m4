dnl ONEOS_SANITIZER: --enable-sanitizer (address and undefined) or --enable-sanitizer=thread.
AC_DEFUN([ONEOS_SANITIZER], [
  AC_ARG_ENABLE([sanitizer],
    [AS_HELP_STRING([--enable-sanitizer@<:@=thread@:>@],
                    [build with ASan and UBSan, or with TSan])],
    [], [enable_sanitizer=no])
  AS_CASE([$enable_sanitizer],
    [no], [SANITIZER_CFLAGS=""],
    [thread], [SANITIZER_CFLAGS="-fsanitize=thread -fno-omit-frame-pointer"],
    [SANITIZER_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"])
  AC_SUBST([SANITIZER_CFLAGS])
  AC_SUBST([enable_sanitizer])
  AM_CONDITIONAL([THREAD_SANITIZER], [test "$enable_sanitizer" = thread])
])
