dnl libfuse 3.12 brought fuse_loop_cfg_*(), with which the number of workers is bounded (Debian 12: 3.14).
AC_DEFUN([ONEOS_FUSE3], [PKG_CHECK_MODULES([FUSE3], [fuse3 >= 3.12])])
