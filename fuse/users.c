/*
 * users.c - names and ids of users, remembered for a minute: names travel between machines, ids
 * are this machine's.
 *
 * A uid without a name is named by its digits; a name that nobody has here is `nobody`.
 */
#include "fuse/fuse_private.h"

#include <pwd.h>
#include <string.h>

#define USERS    64
#define USERS_MS 60000
#define NOBODY   65534

static struct {
    pthread_mutex_t lock;
    struct known {
        char name[TREE_USER_MAX];
        uid_t uid;
        uint64_t until_ms;
    } by_uid[USERS], by_name[USERS];
} users = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void remember(struct known *slot, const char *name, uid_t uid)
{
    pthread_mutex_lock(&users.lock);
    snprintf(slot->name, sizeof slot->name, "%s", name);
    slot->uid = uid;
    slot->until_ms = now_ms() + USERS_MS;
    pthread_mutex_unlock(&users.lock);
}

void users_name(uid_t uid, char name[TREE_USER_MAX])
{
    struct known *slot = &users.by_uid[uid % USERS];
    struct passwd pw, *found = NULL;
    char text[4096];
    bool hit;

    pthread_mutex_lock(&users.lock);
    hit = slot->uid == uid && slot->until_ms > now_ms();
    if (hit)
        strcpy(name, slot->name);
    pthread_mutex_unlock(&users.lock);
    if (hit)
        return;
    if (getpwuid_r(uid, &pw, text, sizeof text, &found) == 0 && found &&
        strlen(found->pw_name) < TREE_USER_MAX)
        strcpy(name, found->pw_name);
    else
        snprintf(name, TREE_USER_MAX, "%u", uid);
    remember(slot, name, uid);
}

uid_t users_uid(const char *name)
{
    struct passwd pw, *found = NULL;
    unsigned h = 0;
    struct known *slot;
    char text[4096], *end;
    uid_t uid = NOBODY;
    bool hit;

    for (const char *p = name; *p; p++)
        h = h * 31 + (unsigned char)*p;
    slot = &users.by_name[h % USERS];
    pthread_mutex_lock(&users.lock);
    hit = strcmp(slot->name, name) == 0 && slot->until_ms > now_ms();
    if (hit)
        uid = slot->uid;
    pthread_mutex_unlock(&users.lock);
    if (hit)
        return uid;
    if (getpwnam_r(name, &pw, text, sizeof text, &found) == 0 && found) {
        uid = found->pw_uid;
    } else {
        unsigned long digits = strtoul(name, &end, 10);

        if (*name && !*end && digits < NOBODY)
            uid = (uid_t)digits;
    }
    remember(slot, name, uid);
    return uid;
}
