dnl jansson 2.11 brought json_string_length-safe packing ("s*", "o*") (Debian 12: 2.14).
AC_DEFUN([ONEOS_JANSSON], [PKG_CHECK_MODULES([JANSSON], [jansson >= 2.11])])
