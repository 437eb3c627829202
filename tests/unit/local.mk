# Unit tests: one program per module, with cmocka.
UNIT_LIBS = $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_words
TESTS += tests/unit/test_words
tests_unit_test_words_SOURCES = tests/unit/test_words.c
tests_unit_test_words_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_units
TESTS += tests/unit/test_units
tests_unit_test_units_SOURCES = tests/unit/test_units.c
tests_unit_test_units_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_options
TESTS += tests/unit/test_options
tests_unit_test_options_SOURCES = tests/unit/test_options.c
tests_unit_test_options_LDADD = libbase.a $(INIH_LIBS) $(UNIT_LIBS)
NET_TEST_LIBS = libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_identity
TESTS += tests/unit/test_identity
tests_unit_test_identity_SOURCES = tests/unit/test_identity.c tests/unit/tempdir.h
tests_unit_test_identity_LDADD = $(NET_TEST_LIBS)

check_PROGRAMS += tests/unit/test_wire
TESTS += tests/unit/test_wire
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_LDADD = $(NET_TEST_LIBS)

check_PROGRAMS += tests/unit/test_beacon
TESTS += tests/unit/test_beacon
tests_unit_test_beacon_SOURCES = tests/unit/test_beacon.c tests/unit/netns.h
tests_unit_test_beacon_LDADD = $(NET_TEST_LIBS)
noinst_LIBRARIES += tests/unit/liblinkpair.a
tests_unit_liblinkpair_a_SOURCES = tests/unit/link_pair.c tests/unit/link_pair.h
LINK_TEST_LIBS = tests/unit/liblinkpair.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/unit/test_blk
TESTS += tests/unit/test_blk
tests_unit_test_blk_SOURCES = tests/unit/test_blk.c tests/unit/flowkit.h
tests_unit_test_blk_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow
TESTS += tests/unit/test_flow
tests_unit_test_flow_SOURCES = tests/unit/test_flow.c tests/unit/flowkit.h
tests_unit_test_flow_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow_ends
TESTS += tests/unit/test_flow_ends
tests_unit_test_flow_ends_SOURCES = tests/unit/test_flow_ends.c tests/unit/flowkit.h
tests_unit_test_flow_ends_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow_model
TESTS += tests/unit/test_flow_model
tests_unit_test_flow_model_SOURCES = tests/unit/test_flow_model.c tests/unit/flowkit.h
tests_unit_test_flow_model_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow_stress
TESTS += tests/unit/test_flow_stress
tests_unit_test_flow_stress_SOURCES = tests/unit/test_flow_stress.c tests/unit/flowkit.h
tests_unit_test_flow_stress_LDADD = libbase.a $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_init
TESTS += tests/unit/test_init
tests_unit_test_init_SOURCES = tests/unit/test_init.c
tests_unit_test_init_SOURCES += tests/unit/init_fixture.c tests/unit/init_fixture.h
tests_unit_test_init_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_init_life
TESTS += tests/unit/test_init_life
tests_unit_test_init_life_SOURCES = tests/unit/test_init_life.c
tests_unit_test_init_life_SOURCES += tests/unit/init_fixture.c tests/unit/init_fixture.h
tests_unit_test_init_life_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_init_hostile
TESTS += tests/unit/test_init_hostile
tests_unit_test_init_hostile_SOURCES = tests/unit/test_init_hostile.c
tests_unit_test_init_hostile_SOURCES += tests/unit/init_fixture.c tests/unit/init_fixture.h
tests_unit_test_init_hostile_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_init_jobs
TESTS += tests/unit/test_init_jobs
tests_unit_test_init_jobs_SOURCES = tests/unit/test_init_jobs.c
tests_unit_test_init_jobs_SOURCES += tests/unit/init_jobs_kit.h tests/unit/init_fixture.c tests/unit/init_fixture.h
tests_unit_test_init_jobs_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_init_redirect
TESTS += tests/unit/test_init_redirect
tests_unit_test_init_redirect_SOURCES = tests/unit/test_init_redirect.c
tests_unit_test_init_redirect_SOURCES += tests/unit/init_jobs_kit.h tests/unit/init_fixture.c tests/unit/init_fixture.h
tests_unit_test_init_redirect_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_init_proto
TESTS += tests/unit/test_init_proto
tests_unit_test_init_proto_SOURCES = tests/unit/test_init_proto.c
tests_unit_test_init_proto_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_link
TESTS += tests/unit/test_link
tests_unit_test_link_SOURCES = tests/unit/test_link.c tests/unit/link_kit.h
tests_unit_test_link_LDADD = $(LINK_TEST_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_link_ends
TESTS += tests/unit/test_link_ends
tests_unit_test_link_ends_SOURCES = tests/unit/test_link_ends.c tests/unit/link_kit.h
tests_unit_test_link_ends_LDADD = $(LINK_TEST_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_link_many
TESTS += tests/unit/test_link_many
tests_unit_test_link_many_SOURCES = tests/unit/test_link_many.c tests/unit/link_kit.h
tests_unit_test_link_many_LDADD = $(LINK_TEST_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_link_cut
TESTS += tests/unit/test_link_cut
tests_unit_test_link_cut_SOURCES = tests/unit/test_link_cut.c
tests_unit_test_link_cut_LDADD = $(LINK_TEST_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_link_frame
TESTS += tests/unit/test_link_frame
tests_unit_test_link_frame_SOURCES = tests/unit/test_link_frame.c
tests_unit_test_link_frame_LDADD = libnet.a libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow_memory
TESTS += tests/unit/test_flow_memory
tests_unit_test_flow_memory_SOURCES = tests/unit/test_flow_memory.c tests/unit/flowkit.h
tests_unit_test_flow_memory_LDADD = libbase.a $(UNIT_LIBS)
tests_unit_test_flow_memory_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc

check_PROGRAMS += tests/unit/test_flow_watch
TESTS += tests/unit/test_flow_watch
tests_unit_test_flow_watch_SOURCES = tests/unit/test_flow_watch.c tests/unit/flowkit.h
tests_unit_test_flow_watch_LDADD = libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_bus
TESTS += tests/unit/test_bus
tests_unit_test_bus_SOURCES = tests/unit/test_bus.c tests/unit/bus_nodes.h tests/unit/bus_lanes.h
tests_unit_test_bus_LDADD = $(NET_TEST_LIBS)

check_PROGRAMS += tests/unit/test_bus_strangers
TESTS += tests/unit/test_bus_strangers
tests_unit_test_bus_strangers_SOURCES = tests/unit/test_bus_strangers.c
tests_unit_test_bus_strangers_LDADD = $(NET_TEST_LIBS)

check_PROGRAMS += tests/unit/test_bus_lanes
TESTS += tests/unit/test_bus_lanes
tests_unit_test_bus_lanes_SOURCES = tests/unit/test_bus_lanes.c
tests_unit_test_bus_lanes_LDADD = $(NET_TEST_LIBS)
check_PROGRAMS += tests/unit/test_link_hostile
TESTS += tests/unit/test_link_hostile
tests_unit_test_link_hostile_SOURCES = tests/unit/test_link_hostile.c
tests_unit_test_link_hostile_LDADD = $(LINK_TEST_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/fake_tree
tests_unit_fake_tree_SOURCES = tests/unit/fake_tree.c
tests_unit_fake_tree_LDADD = libbase.a $(FUSE3_LIBS)
dist_check_SCRIPTS += tests/unit/test_client.sh
TESTS += tests/unit/test_client.sh
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_member
TESTS += tests/unit/test_member
tests_unit_test_member_SOURCES = tests/unit/test_member.c tests/unit/member_story.h
tests_unit_test_member_LDADD = libcluster.a libbase.a $(UNIT_LIBS) $(CLUSTER_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_member_views
TESTS += tests/unit/test_member_views
tests_unit_test_member_views_SOURCES = tests/unit/test_member_views.c tests/unit/member_story.h
tests_unit_test_member_views_LDADD = libcluster.a libbase.a $(UNIT_LIBS) $(CLUSTER_LIBS) $(BASE_LIBS)
endif

check_PROGRAMS += tests/unit/test_tree
TESTS += tests/unit/test_tree
tests_unit_test_tree_SOURCES = tests/unit/test_tree.c tests/unit/tree_kit.c tests/unit/tree_kit.h
tests_unit_test_tree_LDADD = libtree.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_tree_far
TESTS += tests/unit/test_tree_far
tests_unit_test_tree_far_SOURCES = tests/unit/test_tree_far.c tests/unit/tree_kit.c tests/unit/tree_kit.h
tests_unit_test_tree_far_LDADD = libtree.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_tree_lines
TESTS += tests/unit/test_tree_lines
tests_unit_test_tree_lines_SOURCES = tests/unit/test_tree_lines.c
tests_unit_test_tree_lines_LDADD = libtree.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_jobs_rows
TESTS += tests/unit/test_jobs_rows
tests_unit_test_jobs_rows_SOURCES = tests/unit/test_jobs_rows.c
tests_unit_test_jobs_rows_SOURCES += tests/unit/job_kit.h tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_jobs_rows_LDADD = libtree.a $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_rows
TESTS += tests/unit/test_rows
tests_unit_test_rows_SOURCES = tests/unit/test_rows.c
tests_unit_test_rows_LDADD = libtree.a libsched.a librun.a libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
dist_check_SCRIPTS += tests/unit/test_man.sh
TESTS += tests/unit/test_man.sh

check_PROGRAMS += tests/unit/test_pipe_names
TESTS += tests/unit/test_pipe_names
tests_unit_test_pipe_names_SOURCES = tests/unit/test_pipe_names.c
tests_unit_test_pipe_names_SOURCES += tests/unit/pn_kit.h tests/unit/pn_world.c tests/unit/pn_world.h
tests_unit_test_pipe_names_SOURCES += tests/lib/registry_model.c tests/lib/registry_model.h
tests_unit_test_pipe_names_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_pipe_holders
TESTS += tests/unit/test_pipe_holders
tests_unit_test_pipe_holders_SOURCES = tests/unit/test_pipe_holders.c
tests_unit_test_pipe_holders_SOURCES += tests/unit/pn_kit.h tests/unit/pn_world.c tests/unit/pn_world.h
tests_unit_test_pipe_holders_SOURCES += tests/lib/registry_model.c tests/lib/registry_model.h
tests_unit_test_pipe_holders_LDADD = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

RUN_TEST_LIBS = librun.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_spool
TESTS += tests/unit/test_spool
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c tests/unit/runkit.h
tests_unit_test_spool_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_sink
TESTS += tests/unit/test_sink
tests_unit_test_sink_SOURCES = tests/unit/test_sink.c tests/unit/streams_kit.h tests/unit/runkit.h
tests_unit_test_sink_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_pump
TESTS += tests/unit/test_pump
tests_unit_test_pump_SOURCES = tests/unit/test_pump.c tests/unit/streams_kit.h tests/unit/runkit.h
tests_unit_test_pump_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_later
TESTS += tests/unit/test_later
tests_unit_test_later_SOURCES = tests/unit/test_later.c tests/unit/streams_kit.h tests/unit/runkit.h
tests_unit_test_later_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_flow_sync
TESTS += tests/unit/test_flow_sync
tests_unit_test_flow_sync_SOURCES = tests/unit/test_flow_sync.c tests/unit/flowkit.h
tests_unit_test_flow_sync_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_proctab
TESTS += tests/unit/test_proctab
tests_unit_test_proctab_SOURCES = tests/unit/test_proctab.c tests/unit/runkit.h
tests_unit_test_proctab_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_events
TESTS += tests/unit/test_events
tests_unit_test_events_SOURCES = tests/unit/test_events.c tests/unit/runkit.h
tests_unit_test_events_LDADD = libtree.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_proc_file
TESTS += tests/unit/test_proc_file
tests_unit_test_proc_file_SOURCES = tests/unit/test_proc_file.c tests/unit/runkit.h
tests_unit_test_proc_file_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_procs
TESTS += tests/unit/test_procs
tests_unit_test_procs_SOURCES = tests/unit/test_procs.c tests/unit/procs_kit.h tests/unit/runkit.h
tests_unit_test_procs_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_procs_job
TESTS += tests/unit/test_procs_job
tests_unit_test_procs_job_SOURCES = tests/unit/test_procs_job.c tests/unit/procs_kit.h tests/unit/runkit.h
tests_unit_test_procs_job_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_procs_wire
TESTS += tests/unit/test_procs_wire
tests_unit_test_procs_wire_SOURCES = tests/unit/test_procs_wire.c tests/unit/procs_kit.h tests/unit/runkit.h
tests_unit_test_procs_wire_LDADD = librun.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_source
TESTS += tests/unit/test_source
tests_unit_test_source_SOURCES = tests/unit/test_source.c tests/unit/runkit.h
tests_unit_test_source_LDADD = $(RUN_TEST_LIBS)

check_PROGRAMS += tests/unit/test_proc_slots
TESTS += tests/unit/test_proc_slots
tests_unit_test_proc_slots_SOURCES = tests/unit/test_proc_slots.c tests/unit/runkit.h
tests_unit_test_proc_slots_LDADD = $(RUN_TEST_LIBS)

REGISTRY_TEST_LIBS = libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_registry
TESTS += tests/unit/test_registry
tests_unit_test_registry_SOURCES = tests/unit/test_registry.c
tests_unit_test_registry_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_LDADD = $(REGISTRY_TEST_LIBS)
DISK_TEST_LIBS = libcluster.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk
TESTS += tests/unit/test_raft_disk
tests_unit_test_raft_disk_SOURCES = tests/unit/test_raft_disk.c
tests_unit_test_raft_disk_SOURCES += tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_LDADD = $(DISK_TEST_LIBS)
check_PROGRAMS += tests/unit/test_consensus
TESTS += tests/unit/test_consensus
tests_unit_test_consensus_SOURCES = tests/unit/test_consensus.c
tests_unit_test_consensus_SOURCES += tests/unit/consensus_kit.c tests/unit/consensus_kit.h
tests_unit_test_consensus_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(UNIT_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk_damage
TESTS += tests/unit/test_raft_disk_damage
tests_unit_test_raft_disk_damage_SOURCES = tests/unit/test_raft_disk_damage.c
tests_unit_test_raft_disk_damage_SOURCES += tests/unit/damage_kit.c tests/unit/damage_kit.h tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_damage_LDADD = $(DISK_TEST_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk_stopped
TESTS += tests/unit/test_raft_disk_stopped
tests_unit_test_raft_disk_stopped_SOURCES = tests/unit/test_raft_disk_stopped.c
tests_unit_test_raft_disk_stopped_SOURCES += tests/unit/damage_kit.c tests/unit/damage_kit.h tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_stopped_LDADD = $(DISK_TEST_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk_full
TESTS += tests/unit/test_raft_disk_full
tests_unit_test_raft_disk_full_SOURCES = tests/unit/test_raft_disk_full.c
tests_unit_test_raft_disk_full_SOURCES += tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_full_LDADD = $(DISK_TEST_LIBS)
tests_unit_test_raft_disk_full_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fallocate
check_PROGRAMS += tests/unit/test_roles
TESTS += tests/unit/test_roles
tests_unit_test_roles_SOURCES = tests/unit/test_roles.c tests/unit/form_story.h
tests_unit_test_roles_LDADD = libcluster.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_formation
TESTS += tests/unit/test_formation
tests_unit_test_formation_SOURCES = tests/unit/test_formation.c tests/unit/form_story.h
tests_unit_test_formation_LDADD = libcluster.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_placement
TESTS += tests/unit/test_placement
tests_unit_test_placement_SOURCES = tests/unit/test_placement.c
tests_unit_test_placement_LDADD = libcluster.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_consensus_peer
TESTS += tests/unit/test_consensus_peer
tests_unit_test_consensus_peer_SOURCES = tests/unit/test_consensus_peer.c
tests_unit_test_consensus_peer_SOURCES += tests/unit/consensus_peer.c tests/unit/consensus_peer.h
tests_unit_test_consensus_peer_SOURCES += tests/unit/consensus_kit.c tests/unit/consensus_kit.h
tests_unit_test_consensus_peer_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(UNIT_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_consensus_conf
TESTS += tests/unit/test_consensus_conf
tests_unit_test_consensus_conf_SOURCES = tests/unit/test_consensus_conf.c
tests_unit_test_consensus_conf_SOURCES += tests/unit/consensus_peer.c tests/unit/consensus_peer.h
tests_unit_test_consensus_conf_SOURCES += tests/unit/consensus_kit.c tests/unit/consensus_kit.h
tests_unit_test_consensus_conf_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(UNIT_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_consensus_msg
TESTS += tests/unit/test_consensus_msg
tests_unit_test_consensus_msg_SOURCES = tests/unit/test_consensus_msg.c
tests_unit_test_consensus_msg_SOURCES += tests/unit/consensus_kit.c tests/unit/consensus_kit.h
tests_unit_test_consensus_msg_LDADD = libcluster.a libbase.a $(CLUSTER_LIBS) $(UNIT_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_linear
TESTS += tests/unit/test_linear
tests_unit_test_linear_SOURCES = tests/unit/test_linear.c tests/lib/linear.c tests/lib/linear.h
tests_unit_test_linear_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_registry_commands
TESTS += tests/unit/test_registry_commands
tests_unit_test_registry_commands_SOURCES = tests/unit/test_registry_commands.c
tests_unit_test_registry_commands_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_commands_LDADD = $(REGISTRY_TEST_LIBS)

check_PROGRAMS += tests/unit/test_registry_store
TESTS += tests/unit/test_registry_store
tests_unit_test_registry_store_SOURCES = tests/unit/test_registry_store.c
tests_unit_test_registry_store_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_store_LDADD = $(REGISTRY_TEST_LIBS)

check_PROGRAMS += tests/unit/test_registry_dump
TESTS += tests/unit/test_registry_dump
tests_unit_test_registry_dump_SOURCES = tests/unit/test_registry_dump.c
tests_unit_test_registry_dump_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_dump_LDADD = $(REGISTRY_TEST_LIBS)

check_PROGRAMS += tests/unit/test_registry_model
TESTS += tests/unit/test_registry_model
tests_unit_test_registry_model_SOURCES = tests/unit/test_registry_model.c
tests_unit_test_registry_model_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_model_LDADD = $(REGISTRY_TEST_LIBS)

check_PROGRAMS += tests/unit/test_registry_threads
TESTS += tests/unit/test_registry_threads
tests_unit_test_registry_threads_SOURCES = tests/unit/test_registry_threads.c
tests_unit_test_registry_threads_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_registry_threads_LDADD = $(REGISTRY_TEST_LIBS)
EXTRA_DIST += tests/unit/data

check_PROGRAMS += tests/unit/test_raft_disk_model
TESTS += tests/unit/test_raft_disk_model
tests_unit_test_raft_disk_model_SOURCES = tests/unit/test_raft_disk_model.c
tests_unit_test_raft_disk_model_SOURCES += tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_model_LDADD = $(DISK_TEST_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk_killed
TESTS += tests/unit/test_raft_disk_killed
tests_unit_test_raft_disk_killed_SOURCES = tests/unit/test_raft_disk_killed.c
tests_unit_test_raft_disk_killed_SOURCES += tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_killed_LDADD = $(DISK_TEST_LIBS)

check_PROGRAMS += tests/unit/test_raft_disk_fail
TESTS += tests/unit/test_raft_disk_fail
tests_unit_test_raft_disk_fail_SOURCES = tests/unit/test_raft_disk_fail.c
tests_unit_test_raft_disk_fail_SOURCES += tests/unit/diskkit.h tests/unit/tempdir.h
tests_unit_test_raft_disk_fail_LDADD = $(DISK_TEST_LIBS)

check_PROGRAMS += tests/unit/test_runner
TESTS += tests/unit/test_runner
tests_unit_test_runner_SOURCES = tests/unit/test_runner.c tests/unit/runner_kit.c tests/unit/runner_kit.h
tests_unit_test_runner_LDADD = libsched.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_runner_ends
TESTS += tests/unit/test_runner_ends
tests_unit_test_runner_ends_SOURCES = tests/unit/test_runner_ends.c tests/unit/runner_kit.c tests/unit/runner_kit.h
tests_unit_test_runner_ends_LDADD = libsched.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_runner_room
TESTS += tests/unit/test_runner_room
tests_unit_test_runner_room_SOURCES = tests/unit/test_runner_room.c tests/unit/runner_kit.c tests/unit/runner_kit.h
tests_unit_test_runner_room_LDADD = libsched.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)

JOB_TEST_LIBS = libsched.a $(REGISTRY_TEST_LIBS)

check_PROGRAMS += tests/unit/test_job
TESTS += tests/unit/test_job
tests_unit_test_job_SOURCES = tests/unit/test_job.c
tests_unit_test_job_LDADD = $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_job_cmd
TESTS += tests/unit/test_job_cmd
tests_unit_test_job_cmd_SOURCES = tests/unit/test_job_cmd.c tests/unit/job_kit.h
tests_unit_test_job_cmd_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_job_cmd_LDADD = $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_job_advice
TESTS += tests/unit/test_job_advice
tests_unit_test_job_advice_SOURCES = tests/unit/test_job_advice.c tests/unit/job_kit.h
tests_unit_test_job_advice_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_job_advice_LDADD = $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_job_model
TESTS += tests/unit/test_job_model
tests_unit_test_job_model_SOURCES = tests/unit/test_job_model.c tests/unit/job_kit.h
tests_unit_test_job_model_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_job_model_LDADD = $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_scheduler
TESTS += tests/unit/test_scheduler
tests_unit_test_scheduler_SOURCES = tests/unit/test_scheduler.c tests/unit/job_kit.h
tests_unit_test_scheduler_SOURCES += tests/unit/scheduler_kit.h
tests_unit_test_scheduler_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_scheduler_LDADD = $(JOB_TEST_LIBS)

check_PROGRAMS += tests/unit/test_scheduler_whole
TESTS += tests/unit/test_scheduler_whole
tests_unit_test_scheduler_whole_SOURCES = tests/unit/test_scheduler_whole.c tests/unit/job_kit.h
tests_unit_test_scheduler_whole_SOURCES += tests/unit/scheduler_kit.h
tests_unit_test_scheduler_whole_SOURCES += tests/unit/registry_kit.h tests/unit/tempdir.h
tests_unit_test_scheduler_whole_LDADD = $(JOB_TEST_LIBS)
SCHED_TEST_LIBS = libsched.a libbase.a $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_run_line
TESTS += tests/unit/test_run_line
tests_unit_test_run_line_SOURCES = tests/unit/test_run_line.c
tests_unit_test_run_line_LDADD = $(SCHED_TEST_LIBS)

check_PROGRAMS += tests/unit/test_selector
TESTS += tests/unit/test_selector
tests_unit_test_selector_SOURCES = tests/unit/test_selector.c
tests_unit_test_selector_LDADD = $(SCHED_TEST_LIBS)

check_PROGRAMS += tests/unit/test_job_spec
TESTS += tests/unit/test_job_spec
tests_unit_test_job_spec_SOURCES = tests/unit/test_job_spec.c
tests_unit_test_job_spec_LDADD = $(SCHED_TEST_LIBS)

check_PROGRAMS += tests/unit/test_plan
TESTS += tests/unit/test_plan
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_LDADD = $(SCHED_TEST_LIBS)

check_PROGRAMS += tests/unit/test_probe
TESTS += tests/unit/test_probe
tests_unit_test_probe_SOURCES = tests/unit/test_probe.c tests/unit/tempdir.h
tests_unit_test_probe_LDADD = $(SCHED_TEST_LIBS)

# Looking at files and the bus are the test's own here.
check_PROGRAMS += tests/unit/test_probes
TESTS += tests/unit/test_probes
tests_unit_test_probes_SOURCES = tests/unit/test_probes.c
tests_unit_test_probes_LDADD = $(SCHED_TEST_LIBS)



SCHED_WORLD_SOURCES = tests/lib/sched_world.c tests/lib/sched_world.h
SCHED_WORLD_SOURCES += tests/lib/sched_world_registry.c tests/lib/sched_world_private.h
SCHED_WORLD_LIBS = libsched.a libcluster.a libnet.a libbase.a $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/unit/test_sched
TESTS += tests/unit/test_sched
tests_unit_test_sched_SOURCES = tests/unit/test_sched.c tests/unit/sched_kit.h $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sched_queue
TESTS += tests/unit/test_sched_queue
tests_unit_test_sched_queue_SOURCES = tests/unit/test_sched_queue.c tests/unit/sched_kit.h $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_queue_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sched_early
TESTS += tests/unit/test_sched_early
tests_unit_test_sched_early_SOURCES = tests/unit/test_sched_early.c tests/unit/sched_kit.h $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_early_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sched_placed
TESTS += tests/unit/test_sched_placed
tests_unit_test_sched_placed_SOURCES = tests/unit/test_sched_placed.c tests/unit/sched_kit.h $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_placed_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sched_ended
TESTS += tests/unit/test_sched_ended
tests_unit_test_sched_ended_SOURCES = tests/unit/test_sched_ended.c tests/unit/sched_kit.h $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_ended_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sched_ahead
TESTS += tests/unit/test_sched_ahead
tests_unit_test_sched_ahead_SOURCES = tests/unit/test_sched_ahead.c $(SCHED_WORLD_SOURCES)
tests_unit_test_sched_ahead_LDADD = $(SCHED_WORLD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_bus_lanes_hostile
TESTS += tests/unit/test_bus_lanes_hostile
tests_unit_test_bus_lanes_hostile_SOURCES = tests/unit/test_bus_lanes_hostile.c
tests_unit_test_bus_lanes_hostile_LDADD = $(NET_TEST_LIBS)
