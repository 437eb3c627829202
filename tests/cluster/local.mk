# Tests with real daemons, a machine each in its own namespaces: tests/lib/cluster.sh. The longest first.
CLUSTER_LONG =
CLUSTER_LONG += tests/cluster/soak.sh
CLUSTER_LONG += tests/cluster/jobs_kills.sh
CLUSTER_LONG += tests/cluster/jobs_apps.sh
CLUSTER_LONG += tests/cluster/jobs_ends.sh
CLUSTER_LONG += tests/cluster/pipes_lost.sh
CLUSTER_LONG += tests/cluster/pipes_cut.sh
CLUSTER_LONG += tests/cluster/pipes.sh
CLUSTER_LONG += tests/cluster/pipes_big.sh
CLUSTER_LONG += tests/cluster/demo.sh
CLUSTER_LONG += tests/cluster/registry_kills.sh
CLUSTER_TESTS =
CLUSTER_TESTS += tests/cluster/harness.sh
CLUSTER_TESTS += tests/cluster/start_order.sh
CLUSTER_TESTS += tests/cluster/read_all.sh
CLUSTER_LONG += tests/cluster/killed.sh
CLUSTER_TESTS += tests/cluster/busy.sh
CLUSTER_LONG += tests/cluster/exits.sh
CLUSTER_LONG += tests/cluster/keys.sh
CLUSTER_LONG += tests/cluster/garbage.sh
CLUSTER_LONG += tests/cluster/lanes.sh
CLUSTER_TESTS += tests/cluster/remove.sh
CLUSTER_TESTS += tests/cluster/bad_ctl.sh
CLUSTER_LONG += tests/cluster/blocked.sh
CLUSTER_LONG += tests/cluster/many_procs.sh
CLUSTER_TESTS += tests/cluster/conventions.sh
CLUSTER_TESTS += tests/cluster/jobs_tree.sh
CLUSTER_TESTS += tests/cluster/jobs_bad.sh
CLUSTER_TESTS += tests/cluster/jobs_early.sh
CLUSTER_TESTS += tests/cluster/jobs_full.sh
CLUSTER_TESTS += tests/cluster/jobs_users.sh
CLUSTER_TESTS += tests/cluster/jobs_restart.sh
CLUSTER_TESTS += tests/cluster/jobs_wires.sh
EXTRA_DIST += tests/lib/jobs.sh tests/apps
CLUSTER_LONG += tests/cluster/jobs.sh
CLUSTER_LONG += tests/cluster/lost.sh
CLUSTER_TESTS += tests/cluster/arrives.sh
CLUSTER_TESTS += tests/cluster/fulldisk.sh
CLUSTER_TESTS += tests/cluster/users.sh
CLUSTER_LONG += tests/cluster/services.sh
CLUSTER_LONG += tests/cluster/services_full.sh
CLUSTER_LONG += tests/cluster/status.sh
CLUSTER_LONG += tests/cluster/leader.sh
CLUSTER_LONG += tests/cluster/formation.sh
CLUSTER_LONG += tests/cluster/poweroff.sh
CLUSTER_TESTS += tests/cluster/clock.sh
CLUSTER_TESTS += tests/cluster/copies.sh
CLUSTER_TESTS += tests/cluster/newer.sh
CLUSTER_TESTS += tests/cluster/jobs_files.sh
CLUSTER_TESTS += tests/cluster/fullstate.sh

# Ten thousand threads at once: it runs last and alone, since others beside it could not judge time.
tests/cluster/blocked.log: $(filter-out tests/cluster/blocked.log,$(TEST_LOGS))

# By hand, `make chaos`: every failure at once, under load; doc/roadmap.md says what it found last.
EXTRA_DIST += tests/cluster/chaos.sh
.PHONY: chaos
chaos: all $(check_PROGRAMS)
	$(MAKE) check TESTS=tests/cluster/chaos.sh

# By hand, `make soak [SOAK_SECONDS=1800]`: the test of that name for half an hour instead of a minute.
.PHONY: soak
soak: all $(check_PROGRAMS)
	SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(MAKE) check TESTS=tests/cluster/soak.sh
