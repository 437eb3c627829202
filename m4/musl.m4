dnl ONEOS_MUSL: links `oneos` with musl, which starts faster than glibc (shell/only_run.c). Optional;
dnl not with a sanitizer, nor where the compiler does not know the specs of musl-gcc (clang).
AC_DEFUN([ONEOS_MUSL], [
  AC_PATH_PROG([MUSL_GCC], [musl-gcc])
  AC_MSG_CHECKING([whether to link oneos with musl])
  oneos_musl=no
  AS_IF([test "$MUSL_GCC" && test "$enable_sanitizer" = no], [
    MUSL_CFLAGS="-specs=`sed -n 's/.*-specs "\(@<:@^"@:>@*\)".*/\1/p' "$MUSL_GCC"`"
    oneos_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS $MUSL_CFLAGS -static"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <pthread.h>
                                      #include <stdio.h>]],
                                    [[return printf("%d", (int)(long)pthread_self());]])],
                   [oneos_musl=yes])
    CFLAGS=$oneos_save_CFLAGS
  ])
  AC_MSG_RESULT([$oneos_musl])
  AC_SUBST([MUSL_CFLAGS])
  AM_CONDITIONAL([MUSL], [test $oneos_musl = yes])
])
