sbin_PROGRAMS = oneosd
oneosd_SOURCES =
oneosd_SOURCES += src/oneosd.c
oneosd_SOURCES += src/daemon.c src/daemon.h src/daemon_private.h
oneosd_SOURCES += src/daemon_talk.c
oneosd_SOURCES += src/daemon_members.c src/daemon_events.c
oneosd_SOURCES += src/mountpoint.c src/mountpoint.h
oneosd_SOURCES += src/heap.c src/heap.h
oneosd_LDADD = libfusefs.a libtree.a libsched.a librun.a libcluster.a libnet.a libbase.a \
	$(FUSE3_LIBS) $(CLUSTER_LIBS) $(NET_LIBS) $(BASE_LIBS) $(INIH_LIBS) \
	$(JEMALLOC_LIBS)
