dnl OpenSSL 3.0: TLS 1.3 with raw Ed25519 keys through EVP, and EVP_MAC (Debian 12: 3.0).
AC_DEFUN([ONEOS_OPENSSL], [PKG_CHECK_MODULES([OPENSSL], [openssl >= 3.0])])
