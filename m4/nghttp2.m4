dnl libnghttp2: HTTP/2 for the client of etcd that `make bench` compares with; nothing else needs it.
AC_DEFUN([ONEOS_NGHTTP2], [
  PKG_CHECK_MODULES([NGHTTP2], [libnghttp2], [have_nghttp2=yes], [have_nghttp2=no])
  AM_CONDITIONAL([HAVE_NGHTTP2], [test "x$have_nghttp2" = xyes])
])
