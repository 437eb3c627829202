sbin_PROGRAMS = oneosd
oneosd_SOURCES =
oneosd_SOURCES += src/oneosd.c
oneosd_SOURCES += src/daemon.c src/daemon.h
oneosd_SOURCES += src/mountpoint.c src/mountpoint.h
oneosd_LDADD = libfusefs.a libtree.a librun.a libcluster.a libnet.a libbase.a \
	$(FUSE3_LIBS) $(NET_LIBS) $(BASE_LIBS) $(INIH_LIBS)
