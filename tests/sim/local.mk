check_PROGRAMS += tests/sim/sim_link_session
TESTS += tests/sim/sim_link_session
tests_sim_sim_link_session_SOURCES = tests/sim/sim_link_session.c
tests_sim_sim_link_session_LDADD = libnet.a libbase.a
check_LIBRARIES += libsim.a
libsim_a_SOURCES = tests/sim/sim.c tests/sim/sim.h
check_PROGRAMS += tests/sim/sim_member
TESTS += tests/sim/sim_member
tests_sim_sim_member_SOURCES = tests/sim/sim_member.c
tests_sim_sim_member_LDADD = libsim.a libcluster.a libbase.a $(BASE_LIBS)

check_PROGRAMS += tests/sim/sim_rendezvous
TESTS += tests/sim/sim_rendezvous
tests_sim_sim_rendezvous_SOURCES = tests/sim/sim_rendezvous.c tests/sim/sim.c tests/sim/sim.h
tests_sim_sim_rendezvous_LDADD = librun.a libcluster.a libnet.a libbase.a $(NET_LIBS) $(BASE_LIBS)
