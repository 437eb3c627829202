# By hand, `make check-cgroup2`: limits under cgroup v2, in a virtual machine.
EXTRA_DIST += tests/vm/cgroup2.sh tests/vm/cgroup2_inside.sh
.PHONY: check-cgroup2
check-cgroup2: all
	bash $(srcdir)/tests/vm/cgroup2.sh
