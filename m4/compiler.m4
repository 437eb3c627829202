dnl ONEOS_COMPILER: C11 with the warnings that the tree is kept free of; each flag is probed.
AC_DEFUN([ONEOS_COMPILER], [
  ONEOS_CFLAGS="-std=gnu11 -pthread"
  for flag in -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wwrite-strings \
              -Wpointer-arith -Wno-missing-field-initializers -fstack-protector-strong; do
    saved="$CFLAGS"
    CFLAGS="$CFLAGS -Werror $flag"
    AC_MSG_CHECKING([whether $CC takes $flag])
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
      [AC_MSG_RESULT([yes]); ONEOS_CFLAGS="$ONEOS_CFLAGS $flag"], [AC_MSG_RESULT([no])])
    CFLAGS="$saved"
  done
  AC_ARG_ENABLE([debug], [AS_HELP_STRING([--enable-debug], [warnings are errors])],
    [AS_IF([test "x$enableval" = xyes], [ONEOS_CFLAGS="$ONEOS_CFLAGS -Werror"])])
  AC_SUBST([ONEOS_CFLAGS])
])
