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

EXTRA_DIST += tests/lib/cluster.sh tests/lib/machine.sh tests/lib/told.sh tests/lib/tsan.supp

check_PROGRAMS += tests/lib/bytes tests/lib/call tests/lib/readers
check_PROGRAMS += tests/lib/clock_shift.so
tests_lib_clock_shift_so_SOURCES = tests/lib/clock_shift.c
tests_lib_clock_shift_so_CFLAGS = $(ONEOS_CFLAGS) -fPIC
tests_lib_clock_shift_so_LDFLAGS = -shared
tests_lib_clock_shift_so_LDADD = -ldl
tests_lib_bytes_SOURCES = tests/lib/bytes.c
tests_lib_call_SOURCES = tests/lib/call.c
tests_lib_readers_SOURCES = tests/lib/readers.c

# Clients that write down what they did, and the judge of that.
check_PROGRAMS += tests/lib/soak_client tests/lib/check_history
tests_lib_soak_client_SOURCES = tests/lib/soak_client.c
tests_lib_check_history_SOURCES = tests/lib/check_history.c tests/lib/linear.c tests/lib/linear.h

# One machine of a registry, without FUSE, told by lines: benchmarks and checks of real runs.
check_PROGRAMS += tests/lib/registry_node
tests_lib_registry_node_SOURCES = tests/lib/registry_node.c tests/lib/registry_node.h \
	tests/lib/registry_kv.c tests/lib/registry_load.c tests/lib/registry_clients.c \
	tests/lib/lines.c tests/lib/lines.h tests/lib/pace.c tests/lib/pace.h
tests_lib_registry_node_LDADD = libcluster.a libnet.a libbase.a \
	$(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)
