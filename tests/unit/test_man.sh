#!/bin/sh
# The manual pages have no fault that mandoc knows; that a page refers to one which is not installed here is none.
command -v mandoc >/dev/null || { echo "# skipped: there is no mandoc"; exit 77; }
cd "${srcdir:-.}" || exit 99
mandoc -Tlint man/*.[1-8] 2>&1 | grep -v -e 'referenced manual not found' -e 'mandoc\.db' && exit 1
echo "ok - the pages: $(echo man/*.[1-8])"
