# Whole protocols in simulated worlds. Each is one thread: there is nothing for ThreadSanitizer.
SIM_TESTS =
if !THREAD_SANITIZER
TESTS += $(SIM_TESTS)
endif

check_PROGRAMS += tests/sim/sim_link_session
SIM_TESTS += tests/sim/sim_link_session
tests_sim_sim_link_session_SOURCES = tests/sim/sim_link_session.c
tests_sim_sim_link_session_LDADD = libnet.a libbase.a
check_LIBRARIES += libsim.a
libsim_a_SOURCES = tests/sim/sim.c tests/sim/sim.h
check_PROGRAMS += tests/sim/sim_member
SIM_TESTS += tests/sim/sim_member
tests_sim_sim_member_SOURCES = tests/sim/sim_member.c tests/sim/member_world.c tests/sim/member_world.h
tests_sim_sim_member_LDADD = libsim.a libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_pipe_names
SIM_TESTS += tests/sim/sim_pipe_names
tests_sim_sim_pipe_names_SOURCES = tests/sim/sim_pipe_names.c
tests_sim_sim_pipe_names_SOURCES += tests/sim/pipe_world.c tests/sim/pipe_ops.c tests/sim/pipe_log.c
tests_sim_sim_pipe_names_SOURCES += tests/sim/pipe_world.h
tests_sim_sim_pipe_names_SOURCES += tests/lib/registry_model.c tests/lib/registry_model.h
tests_sim_sim_pipe_names_LDADD = libsim.a librun.a libbase.a $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_formation
SIM_TESTS += tests/sim/sim_formation
tests_sim_sim_formation_SOURCES = tests/sim/sim_formation.c
tests_sim_sim_formation_SOURCES += tests/sim/form_world.c tests/sim/form_steps.c tests/sim/form_log.c
tests_sim_sim_formation_SOURCES += tests/sim/form_world.h
tests_sim_sim_formation_LDADD = libsim.a libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_placement
SIM_TESTS += tests/sim/sim_placement
tests_sim_sim_placement_SOURCES = tests/sim/sim_placement.c
tests_sim_sim_placement_LDADD = libsim.a libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_consensus
SIM_TESTS += tests/sim/sim_consensus
tests_sim_sim_consensus_SOURCES = tests/sim/sim_consensus.c tests/sim/cons_world.c tests/sim/cons_world.h
tests_sim_sim_consensus_SOURCES += tests/sim/cons_disk.c tests/sim/cons_client.c
tests_sim_sim_consensus_SOURCES += tests/lib/linear.c tests/lib/linear.h
tests_sim_sim_consensus_LDADD = libsim.a libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_jobs
SIM_TESTS += tests/sim/sim_jobs
tests_sim_sim_jobs_SOURCES = tests/sim/sim_jobs.c tests/sim/jobs_world.c tests/sim/jobs_world.h
tests_sim_sim_jobs_SOURCES += tests/sim/jobs_procs.c tests/sim/jobs_sched.c
tests_sim_sim_jobs_SOURCES += tests/lib/registry_model.c tests/lib/registry_model.h
tests_sim_sim_jobs_LDADD = libsim.a libsched.a libcluster.a libbase.a $(CLUSTER_LIBS) $(BASE_LIBS)
check_PROGRAMS += tests/sim/sim_sched
SIM_TESTS += tests/sim/sim_sched
tests_sim_sim_sched_SOURCES = tests/sim/sim_sched.c $(SCHED_WORLD_SOURCES)
tests_sim_sim_sched_LDADD = libsim.a $(SCHED_WORLD_LIBS)
