/*
 * link_pair.c - two daemons' links in one process, for tests.
 */
#include "tests/unit/link_pair.h"
#include "base/cleanup.h"
#include "net/tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s failed\n", __FILE__, __LINE__, #what);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

void identity_invent(struct identity *i, const char *id)
{
    EVP_PKEY_CTX *k = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);

    *i = (struct identity){ .lock_fd = -1, .incarnation = 1 };
    snprintf(i->id, sizeof i->id, "%s", id);
    MUST(k && EVP_PKEY_keygen_init(k) == 1 && EVP_PKEY_keygen(k, &i->tls_key) == 1);
    EVP_PKEY_CTX_free(k);
    MUST((i->tls_cert = X509_new()));
    X509_set_version(i->tls_cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(i->tls_cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(i->tls_cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(i->tls_cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(i->tls_cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)id, -1, -1, 0);
    X509_set_issuer_name(i->tls_cert, X509_get_subject_name(i->tls_cert));
    X509_set_pubkey(i->tls_cert, i->tls_key);
    MUST(X509_sign(i->tls_cert, i->tls_key, NULL) > 0);
    MUST(identity_fingerprint(i->tls_cert, i->fingerprint) == 0);
}

void identity_drop(struct identity *i)
{
    EVP_PKEY_free(i->tls_key);
    X509_free(i->tls_cert);
}

static void on_open(void *arg, struct chan *c, const char *peer, const char *spec)
{
    struct node *n = arg;
    struct opened *o = calloc(1, sizeof *o);

    MUST(o);
    o->c = c;
    o->spec = strdup(spec);
    snprintf(o->peer, sizeof o->peer, "%s", peer);
    pthread_mutex_lock(&n->lock);
    *n->opened_tail = o;
    n->opened_tail = &o->next;
    pthread_cond_signal(&n->came);
    pthread_mutex_unlock(&n->lock);
}

static const struct link_ops ops = { .open = on_open };

static void *run(void *arg)
{
    loop_run(((struct node *)arg)->loop);
    return NULL;
}

static void make_links(struct node *n)
{
    struct oerr e = { "" };

    if (links_create(&n->links, n->loop, &n->me, "127.0.0.1", 0, &ops, n, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
}

void node_start(struct node *n, const char *id)
{
    memset(n, 0, sizeof *n);
    identity_invent(&n->me, id);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->came, NULL);
    n->opened_tail = &n->opened;
    MUST(loop_create(&n->loop) == 0);
    make_links(n);
    MUST(pthread_create(&n->thread, NULL, run, n) == 0);
    n->running = true;
}

struct visit {
    struct task task;
    struct node *n;
    void (*run)(struct node *);
    sem_t done;
};

static void visit(struct task *t)
{
    struct visit *v = container_of(t, struct visit, task);

    v->run(v->n);
    sem_post(&v->done);
}

void node_on_loop(struct node *n, void (*f)(struct node *))
{
    struct visit v = { .task.run = visit, .n = n, .run = f };

    sem_init(&v.done, 0, 0);
    loop_post(n->loop, &v.task);
    while (sem_wait(&v.done) < 0)
        ;
    sem_destroy(&v.done);
}

static void destroy_links(struct node *n)
{
    links_destroy(n->links);
    n->links = NULL;
}

void node_restart_links(struct node *n)
{
    if (n->links)
        node_on_loop(n, destroy_links);
    node_on_loop(n, make_links);
}

void node_stop(struct node *n)
{
    struct opened *o;

    if (n->links)
        node_on_loop(n, destroy_links);
    loop_stop(n->loop);
    pthread_join(n->thread, NULL);
    while ((o = n->opened)) {
        n->opened = o->next;
        link_refuse(o->c, -ECANCELED);
        free(o->spec);
        free(o);
    }
    loop_destroy(n->loop);
    identity_drop(&n->me);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->came);
}

void node_knows(struct node *n, const struct node *other, uint64_t incarnation)
{
    links_peer(n->links, other->me.id, "127.0.0.1", links_port(other->links), other->me.fingerprint,
               incarnation);
}

struct chan *node_opened(struct node *n, char *spec, size_t size)
{
    struct timespec until;
    struct chan *c = NULL;
    struct opened *o;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&n->lock);
    while (!n->opened && pthread_cond_timedwait(&n->came, &n->lock, &until) == 0)
        ;
    if ((o = n->opened)) {
        if (!(n->opened = o->next))
            n->opened_tail = &n->opened;
        c = o->c;
        if (spec)
            snprintf(spec, size, "%s", o->spec);
        free(o->spec);
        free(o);
    }
    pthread_mutex_unlock(&n->lock);
    return c;
}

static void call_done(struct ioreq *r, ssize_t rc)
{
    struct call *c = container_of(r, struct call, req);

    c->rc = rc;
    sem_post(&c->done);
}

static void call_make(struct call *c, size_t n)
{
    memset(c, 0, sizeof *c);
    sem_init(&c->done, 0, 0);
    c->req.done = call_done;
    c->req.size = n;
}

void call_read(struct call *c, struct stream *s, size_t n)
{
    call_make(c, n);
    s->ops->read(s, &c->req);
}

void call_write(struct call *c, struct stream *s, const void *from, size_t n)
{
    call_make(c, 0);
    MUST(slices_copy(&c->req.bytes, from, n) == 0);
    s->ops->write(s, &c->req);
}

ssize_t call_wait(struct call *c)
{
    while (sem_wait(&c->done) < 0)
        ;
    sem_destroy(&c->done);
    slices_free(&c->req.bytes);
    return c->rc;
}

ssize_t stream_read_some(struct stream *s, struct slices *got, size_t n)
{
    struct call c;

    call_read(&c, s, n);
    while (sem_wait(&c.done) < 0)
        ;
    sem_destroy(&c.done);
    slices_move(got, &c.req.bytes);
    return c.rc;
}

ssize_t stream_write_some(struct stream *s, struct slices *bytes)
{
    struct call c;

    call_make(&c, 0);
    slices_move(&c.req.bytes, bytes);
    s->ops->write(s, &c.req);
    return call_wait(&c);
}

ssize_t stream_read(struct stream *s, void *to, size_t n)
{
    struct slices got = { 0 };
    ssize_t rc = stream_read_some(s, &got, n);

    if (rc > 0)
        slices_read(&got, to);
    slices_free(&got);
    return rc;
}

ssize_t stream_write(struct stream *s, const void *from, size_t n)
{
    struct call c;

    call_write(&c, s, from, n);
    return call_wait(&c);
}
