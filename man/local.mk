dist_man_MANS += man/oneos.1

# The page of the tree is made from the rows and committed; a test compares them.
dist_man_MANS += man/oneosfs.5
EXTRA_DIST += man/oneosfs.5.in
.PHONY: man-page
man-page: tests/unit/test_rows
	tests/unit/test_rows --render $(srcdir)/man/oneosfs.5.in >$(srcdir)/man/oneosfs.5.new
	mv $(srcdir)/man/oneosfs.5.new $(srcdir)/man/oneosfs.5
dist_man_MANS += man/oneosd.8
