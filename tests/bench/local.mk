noinst_PROGRAMS += tests/bench/bench_link
tests_bench_bench_link_SOURCES = tests/bench/bench_link.c
tests_bench_bench_link_LDADD = $(LINK_TEST_LIBS)
check_PROGRAMS += tests/bench/bench_flow
tests_bench_bench_flow_SOURCES = tests/bench/bench_flow.c
tests_bench_bench_flow_LDADD = libbase.a
check_PROGRAMS += tests/bench/bench_init
tests_bench_bench_init_SOURCES = tests/bench/bench_init.c
tests_bench_bench_init_LDADD = librun.a libbase.a $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_procs
tests_bench_bench_procs_SOURCES = tests/bench/bench_procs.c tests/bench/timing.h
tests_bench_bench_procs_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_bus
tests_bench_bench_bus_SOURCES = tests/bench/bench_bus.c
tests_bench_bench_bus_LDADD = libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_raft_disk
tests_bench_bench_raft_disk_SOURCES = tests/bench/bench_raft_disk.c tests/bench/timing.h
tests_bench_bench_raft_disk_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_registry_read
tests_bench_bench_registry_read_SOURCES = tests/bench/bench_registry_read.c tests/bench/timing.h
tests_bench_bench_registry_read_LDADD = libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_consensus
tests_bench_bench_consensus_SOURCES = tests/bench/bench_consensus.c tests/bench/timing.h
tests_bench_bench_consensus_SOURCES += tests/unit/consensus_kit.c tests/unit/consensus_kit.h
tests_bench_bench_consensus_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/bench/bench_job_cmd
tests_bench_bench_job_cmd_SOURCES = tests/bench/bench_job_cmd.c tests/bench/timing.h tests/unit/tempdir.h
tests_bench_bench_job_cmd_LDADD = libsched.a libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)

# `make bench`: the speeds that users feel, beside what they would use instead (doc/performance.md).
BENCH_HELPERS = tests/bench/laps tests/bench/looks tests/bench/passthrough tests/bench/stream
if HAVE_NGHTTP2
BENCH_HELPERS += tests/bench/etcd_client
endif
EXTRA_PROGRAMS = $(BENCH_HELPERS)
CLEANFILES += $(BENCH_HELPERS)
EXTRA_DIST += tests/bench/run.sh tests/bench/registry.sh tests/bench/jobs.sh
tests_bench_laps_SOURCES = tests/bench/laps.c tests/bench/timing.h
tests_bench_looks_SOURCES = tests/bench/looks.c tests/bench/timing.h
tests_bench_passthrough_SOURCES = tests/bench/passthrough.c
tests_bench_passthrough_LDADD = $(FUSE3_LIBS)
tests_bench_etcd_client_SOURCES = tests/bench/etcd_client.c tests/lib/lines.c tests/lib/lines.h \
	tests/lib/pace.c tests/lib/pace.h
tests_bench_etcd_client_CFLAGS = $(AM_CFLAGS) $(NGHTTP2_CFLAGS)
tests_bench_etcd_client_LDADD = libbase.a $(NGHTTP2_LIBS) $(BASE_LIBS)
tests_bench_stream_SOURCES = tests/bench/stream.c tests/bench/timing.h

.PHONY: bench
bench: all $(BENCH_HELPERS) tests/bench/bench_sched tests/lib/registry_node
	bash $(top_srcdir)/tests/bench/run.sh $(BENCH)

check_PROGRAMS += tests/bench/bench_sched
EXTRA_DIST += tests/bench/data/sample.swf
tests_bench_bench_sched_SOURCES = tests/bench/bench_sched.c $(SCHED_WORLD_SOURCES)
tests_bench_bench_sched_LDADD = $(SCHED_WORLD_LIBS)
