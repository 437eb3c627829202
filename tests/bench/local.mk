noinst_PROGRAMS += tests/bench/bench_link
tests_bench_bench_link_SOURCES = tests/bench/bench_link.c
tests_bench_bench_link_LDADD = $(LINK_TEST_LIBS)
check_PROGRAMS += tests/bench/bench_flow
tests_bench_bench_flow_SOURCES = tests/bench/bench_flow.c
tests_bench_bench_flow_LDADD = libbase.a
check_PROGRAMS += tests/bench/bench_init
tests_bench_bench_init_SOURCES = tests/bench/bench_init.c
tests_bench_bench_init_LDADD = librun.a libbase.a $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_bus
tests_bench_bench_bus_SOURCES = tests/bench/bench_bus.c
tests_bench_bench_bus_LDADD = libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)

# `make bench`: the speeds that users feel, beside what they would use instead (doc/performance.md).
BENCH_HELPERS = tests/bench/laps tests/bench/looks tests/bench/passthrough tests/bench/stream
EXTRA_PROGRAMS = $(BENCH_HELPERS)
CLEANFILES += $(BENCH_HELPERS)
EXTRA_DIST += tests/bench/run.sh
tests_bench_laps_SOURCES = tests/bench/laps.c tests/bench/timing.h
tests_bench_looks_SOURCES = tests/bench/looks.c tests/bench/timing.h
tests_bench_passthrough_SOURCES = tests/bench/passthrough.c
tests_bench_passthrough_LDADD = $(FUSE3_LIBS)
tests_bench_stream_SOURCES = tests/bench/stream.c tests/bench/timing.h

.PHONY: bench
bench: all $(BENCH_HELPERS)
	bash $(top_srcdir)/tests/bench/run.sh $(BENCH)
