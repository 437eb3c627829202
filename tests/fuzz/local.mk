# Fuzz targets: one LLVMFuzzerTestOneInput() per decoder of what comes from outside. With
# --enable-fuzz (clang) they are libFuzzer programs; else each is a test that runs over the files
# of its folder under tests/fuzz/corpus, so that it never rots.
FUZZ_TARGETS =
check_PROGRAMS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/corpus

if FUZZ
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
TESTS += $(FUZZ_TARGETS)
FUZZ_MAIN = tests/fuzz/corpus_main.c
FUZZ_LINK = $(AM_LDFLAGS)
endif
FUZZ_NET_LIBS = libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz_words
tests_fuzz_fuzz_words_SOURCES = tests/fuzz/fuzz_words.c $(FUZZ_MAIN)
tests_fuzz_fuzz_words_LDADD = libbase.a
tests_fuzz_fuzz_words_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_init_proto
tests_fuzz_fuzz_init_proto_SOURCES = tests/fuzz/fuzz_init_proto.c $(FUZZ_MAIN)
tests_fuzz_fuzz_init_proto_LDADD = librun.a libbase.a
tests_fuzz_fuzz_init_proto_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_link_frame
tests_fuzz_fuzz_link_frame_SOURCES = tests/fuzz/fuzz_link_frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_link_frame_LDADD = libnet.a libbase.a
tests_fuzz_fuzz_link_frame_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_wire
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c $(FUZZ_MAIN)
tests_fuzz_fuzz_wire_LDADD = $(FUZZ_NET_LIBS)
tests_fuzz_fuzz_wire_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_beacon
tests_fuzz_fuzz_beacon_SOURCES = tests/fuzz/fuzz_beacon.c $(FUZZ_MAIN)
tests_fuzz_fuzz_beacon_LDADD = $(FUZZ_NET_LIBS)
tests_fuzz_fuzz_beacon_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_token
tests_fuzz_fuzz_token_SOURCES = tests/fuzz/fuzz_token.c $(FUZZ_MAIN)
tests_fuzz_fuzz_token_LDADD = $(FUZZ_NET_LIBS)
tests_fuzz_fuzz_token_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_tree
tests_fuzz_fuzz_tree_SOURCES = tests/fuzz/fuzz_tree.c $(FUZZ_MAIN)
tests_fuzz_fuzz_tree_LDADD = libtree.a libbase.a $(BASE_LIBS)
tests_fuzz_fuzz_tree_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_raft_disk
tests_fuzz_fuzz_raft_disk_SOURCES = tests/fuzz/fuzz_raft_disk.c $(FUZZ_MAIN)
tests_fuzz_fuzz_raft_disk_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_raft_disk_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_lmdb_check
tests_fuzz_fuzz_lmdb_check_SOURCES = tests/fuzz/fuzz_lmdb_check.c $(FUZZ_MAIN)
tests_fuzz_fuzz_lmdb_check_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_lmdb_check_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_standing
tests_fuzz_fuzz_standing_SOURCES = tests/fuzz/fuzz_standing.c $(FUZZ_MAIN)
tests_fuzz_fuzz_standing_LDADD = libcluster.a libbase.a $(BASE_LIBS)
tests_fuzz_fuzz_standing_LDFLAGS = $(FUZZ_LINK)

FUZZ_REGISTRY_LIBS = libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_registry
tests_fuzz_fuzz_registry_SOURCES = tests/fuzz/fuzz_registry.c tests/unit/tempdir.h $(FUZZ_MAIN)
tests_fuzz_fuzz_registry_LDADD = $(FUZZ_REGISTRY_LIBS)
tests_fuzz_fuzz_registry_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_registry_dump
tests_fuzz_fuzz_registry_dump_SOURCES = tests/fuzz/fuzz_registry_dump.c tests/unit/tempdir.h $(FUZZ_MAIN)
tests_fuzz_fuzz_registry_dump_LDADD = $(FUZZ_REGISTRY_LIBS)
tests_fuzz_fuzz_registry_dump_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_consensus
tests_fuzz_fuzz_consensus_SOURCES = tests/fuzz/fuzz_consensus.c tests/unit/consensus_kit.c $(FUZZ_MAIN)
tests_fuzz_fuzz_consensus_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_consensus_LDFLAGS = $(FUZZ_LINK)

FUZZ_SCHED_LIBS = libsched.a libbase.a $(BASE_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_run_line
tests_fuzz_fuzz_run_line_SOURCES = tests/fuzz/fuzz_run_line.c $(FUZZ_MAIN)
tests_fuzz_fuzz_run_line_LDADD = $(FUZZ_SCHED_LIBS)
tests_fuzz_fuzz_run_line_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_selector
tests_fuzz_fuzz_selector_SOURCES = tests/fuzz/fuzz_selector.c $(FUZZ_MAIN)
tests_fuzz_fuzz_selector_LDADD = $(FUZZ_SCHED_LIBS)
tests_fuzz_fuzz_selector_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_job_spec
tests_fuzz_fuzz_job_spec_SOURCES = tests/fuzz/fuzz_job_spec.c $(FUZZ_MAIN)
tests_fuzz_fuzz_job_spec_LDADD = $(FUZZ_SCHED_LIBS)
tests_fuzz_fuzz_job_spec_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_exec_head
tests_fuzz_fuzz_exec_head_SOURCES = tests/fuzz/fuzz_exec_head.c $(FUZZ_MAIN)
tests_fuzz_fuzz_exec_head_LDADD = $(FUZZ_SCHED_LIBS)
tests_fuzz_fuzz_exec_head_LDFLAGS = $(FUZZ_LINK)
FUZZ_TARGETS += tests/fuzz/fuzz_job
tests_fuzz_fuzz_job_SOURCES = tests/fuzz/fuzz_job.c $(FUZZ_MAIN)
tests_fuzz_fuzz_job_LDADD = libsched.a $(FUZZ_REGISTRY_LIBS)
tests_fuzz_fuzz_job_LDFLAGS = $(FUZZ_LINK)

FUZZ_TARGETS += tests/fuzz/fuzz_job_cmd
tests_fuzz_fuzz_job_cmd_SOURCES = tests/fuzz/fuzz_job_cmd.c tests/unit/tempdir.h $(FUZZ_MAIN)
tests_fuzz_fuzz_job_cmd_LDADD = libsched.a $(FUZZ_REGISTRY_LIBS)
tests_fuzz_fuzz_job_cmd_LDFLAGS = $(FUZZ_LINK)
