# What all tests share: the environment, and the programs and the harness of tests/lib.
#
# The tests with real daemons (tests/cluster) come first, the longest ones leading, so that `make -j` ends soon.
# `make check CLUSTER_LONG=` leaves out those that the sanitizer builds need not repeat.
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = bash
TESTS += $(CLUSTER_LONG) $(CLUSTER_TESTS)
EXTRA_DIST += $(CLUSTER_LONG) $(CLUSTER_TESTS)

AM_TESTS_ENVIRONMENT = \
	ONEOS_SANITIZER='$(enable_sanitizer)'; export ONEOS_SANITIZER; \
	TSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/lib/tsan.supp'; export TSAN_OPTIONS;

EXTRA_DIST += tests/lib/cluster.sh tests/lib/machine.sh tests/lib/tsan.supp

check_PROGRAMS += tests/lib/bytes tests/lib/call tests/lib/readers
tests_lib_bytes_SOURCES = tests/lib/bytes.c
tests_lib_call_SOURCES = tests/lib/call.c
tests_lib_readers_SOURCES = tests/lib/readers.c
