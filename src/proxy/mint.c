/* SPDX-License-Identifier: Apache-2.0
 *
 * mint: see mint.h. Hosts are found by a hash of their text; entries that have a certificate stand in a list by last use, those that
 * wait for one in a second list in the order in which the keeper was asked, which is the order of its replies. An entry
 * that nobody waits for any more still takes its reply, so that the two stay in step.
 */
/* EC_KEY: see make_key. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "proxy/mint.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/secretmsg.h"

#define BUCKETS 1024
#define FRESH_S (5 * 86400) /* of the seven days that a certificate is good for */
#define TICK_MS 500

struct mint_wait {
	TAILQ_ENTRY(mint_wait) link;
	struct entry *entry; /* borrowed */
	mint_done *done;
	mint_reply *reply; /* of a question: instead of done */
	void *user;
};

struct entry {
	TAILQ_ENTRY(entry) link; /* in `known` or in `asked` */
	struct entry *chain;
	char host[DEST_HOST_MAX + 1];
	X509 *leaf; /* ref; NULL: asked for */
	char *question; /* owned: this, and not a certificate, is asked for; then it is not in the table */
	time_t made;
	uint64_t due_ms; /* of the reply */
	TAILQ_HEAD(, mint_wait) waits;
};

/* One connection to the keeper. On its own, because a poll handle lives on until the loop has closed it. */
struct link {
	uv_poll_t poll;
	int fd;            /* owned */
	struct mint *mint; /* borrowed; NULL: dropped */
	bool writing;      /* the socket was full; `unsent` waits */
};

struct mint {
	uv_timer_t timer;
	struct link *link; /* owned; NULL: lost */
	uv_loop_t *loop;
	void (*lost)(void *user);
	void (*unasked)(void *user, const char *text, size_t n);
	void *user;
	EVP_PKEY *key;
	uint8_t *spki; /* owned: its public half as DER */
	int spki_len;
	char *spki_text; /* owned: the same in base64 */
	OSSL_LIB_CTX *nothing; /* owned: a library without a provider */
	OSSL_PROVIDER *null;   /* owned: the one that provides nothing, loaded there */
	struct entry *bucket[BUCKETS];
	TAILQ_HEAD(entries, entry) known, asked; /* known: most recently used first */
	size_t nknown, nasked;
	struct entry *unsent; /* borrowed: the first of `asked` that the keeper was not told of; NULL: none */
};

static unsigned int hash(const char *host)
{
	uint32_t h = 2166136261U;

	for (; *host; host++)
		h = (h ^ (uint8_t)*host) * 16777619U;
	return h % BUCKETS;
}

static struct entry **place_of(struct mint *m, const char *host)
{
	struct entry **p = &m->bucket[hash(host)];

	while (*p && !str_eq((*p)->host, host))
		p = &(*p)->chain;
	return p;
}

/* Takes it out of the table; it must be in no list. */
static void entry_free(struct mint *m, struct entry *e)
{
	struct mint_wait *w;
	struct entry **p = place_of(m, e->host);

	if (*p == e)
		*p = e->chain;
	while ((w = TAILQ_FIRST(&e->waits))) {
		TAILQ_REMOVE(&e->waits, w, link);
		free(w);
	}
	X509_free(e->leaf);
	if (e->question)
		explicit_bzero(e->question, strlen(e->question));
	free(e->question);
	free(e);
}

static void forget(struct mint *m, struct entry *e)
{
	TAILQ_REMOVE(&m->known, e, link);
	m->nknown--;
	entry_free(m, e);
}

/* Tells everybody who waits. Whoever is told may cancel others, so the list is taken from its head. */
static void tell(struct entry *e, int error)
{
	struct mint_wait *w;

	while ((w = TAILQ_FIRST(&e->waits))) {
		mint_done *done = w->done;
		void *user = w->user;

		mint_reply *reply = w->reply;

		TAILQ_REMOVE(&e->waits, w, link);
		free(w);
		if (reply)
			reply(user, NULL, 0, error);
		else
			done(user, error ? NULL : e->leaf, error);
	}
}

/* The reply to a question. */
static void settle_question(struct mint *m, struct entry *e, const char *text, size_t n)
{
	struct mint_wait *w = TAILQ_FIRST(&e->waits);

	TAILQ_REMOVE(&m->asked, e, link);
	m->nasked--;
	if (w) {
		mint_reply *reply = w->reply;
		void *user = w->user;

		TAILQ_REMOVE(&e->waits, w, link);
		free(w);
		reply(user, text, n, 0);
	}
	entry_free(m, e);
}

/* The first that was asked is answered: it becomes known, or goes. */
static void settle(struct mint *m, struct entry *e, X509 *leaf, int error)
{
	TAILQ_REMOVE(&m->asked, e, link);
	m->nasked--;
	if (!error) {
		e->leaf = leaf;
		e->made = time(NULL);
		TAILQ_INSERT_HEAD(&m->known, e, link);
		if (++m->nknown > MINT_CACHE)
			forget(m, TAILQ_LAST(&m->known, entries));
		tell(e, 0);
		return;
	}
	/* Out of the table first: who is told may ask again. */
	if (!e->question)
		*place_of(m, e->host) = e->chain;
	tell(e, error);
	entry_free(m, e);
}

static void link_closed(uv_handle_t *h)
{
	free(h->data);
}

static void drop_link(struct mint *m)
{
	struct link *l = TAKE_PTR(m->link);

	if (!l)
		return;
	l->mint = NULL;
	uv_close((uv_handle_t *)&l->poll, link_closed);
	own_close_p(&l->fd);
	m->unsent = NULL;
}

/* Everything that waits fails; whoever is told may ask anew, and is not told in the same go. */
static void fail_asked(struct mint *m)
{
	struct entry *e;

	for (size_t n = m->nasked; n > 0 && (e = TAILQ_FIRST(&m->asked)); n--)
		settle(m, e, NULL, -EPIPE);
}

static void lose_keeper(struct mint *m, const char *why)
{
	if (!m->link)
		return;
	log_warn("event=keeper_lost error=\"%s\"", why);
	drop_link(m);
	fail_asked(m);
	if (m->lost)
		m->lost(m->user);
}

/* --- messages --- */

static void watch(struct mint *m);

/* 0, -EAGAIN, or -errno. */
static int send_ask(struct mint *m, const struct entry *e)
{
	json_t *root = e->question ? NULL : json_pack("{s:s,s:s,s:s}", "op", "leaf", "host", e->host, "spki", m->spki_text);
	char *text = root ? json_dumps(root, JSON_COMPACT) : e->question ? strdup(e->question) : NULL;
	int r = 0;

	json_decref(root);
	if (!text)
		return -ENOMEM;
	if (send(m->link->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

static void send_unsent(struct mint *m)
{
	int r = 0;

	while (m->unsent && (r = send_ask(m, m->unsent)) == 0)
		m->unsent = TAILQ_NEXT(m->unsent, link);
	if (r < 0 && r != -EAGAIN)
		lose_keeper(m, strerror(-r));
	else
		watch(m);
}

static bool is_for_our_key(const struct mint *m, X509 *x)
{
	uint8_t *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	bool same = n == m->spki_len && memcmp(der, m->spki, (size_t)n) == 0;

	OPENSSL_free(der);
	return same;
}

/* A certificate for our key, or NULL. OpenSSL 3.0 takes 120 us to decode the public key of each certificate that it reads, and this one is
 * known: it is read where no provider can decode it, compared, and our own put in its place. */
static X509 *read_leaf(const struct mint *m, const uint8_t *der, int n)
{
	X509 *x = X509_new_ex(m->nothing, NULL), *read;
	const uint8_t *p = der;

	if (!x)
		return NULL;
	read = d2i_X509(&x, &p, n); /* frees x where it fails */
	if (read && (p != der + n || !is_for_our_key(m, read) || X509_set_pubkey(read, m->key) != 1)) {
		X509_free(read);
		read = NULL;
	}
	/* Its extensions are looked at now: what cannot be worked out without a provider, a fingerprint that nobody needs, is an error that must
	 * not be found later by somebody else. */
	if (read)
		(void)X509_check_purpose(read, -1, 0);
	ERR_clear_error();
	return read;
}

/* The certificate in a reply, or NULL: then *ret_error says why, -EACCES for the keeper's refusal, -EPROTO for nonsense. */
static X509 *parse_reply(struct mint *m, const struct entry *e, const char *text, size_t n, int *ret_error)
{
	json_error_t jerr;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &jerr), *cert, *kind;
	uint8_t der[16384];
	X509 *x = NULL;
	int len;

	*ret_error = -EPROTO;
	kind = json_object_get(json_object_get(root, "error"), "kind");
	cert = json_object_get(root, "cert");
	if (json_is_string(kind)) {
		char shown[64];

		str_escape(shown, sizeof(shown), json_string_value(kind), json_string_length(kind));
		log_warn("keeper refuses a certificate for %s: %s", e->host, shown);
		*ret_error = -EACCES;
	} else if (json_is_string(cert) && json_string_length(cert) % 4 == 0 && json_string_length(cert) / 4 * 3 <= sizeof(der)) {
		const char *s = json_string_value(cert);
		size_t sn = json_string_length(cert);

		len = EVP_DecodeBlock(der, (const uint8_t *)s, (int)sn);
		/* The block decoder counts the padding as bytes. */
		for (size_t i = sn; len > 0 && i > 0 && s[i - 1] == '='; i--)
			len--;
		x = len > 0 ? read_leaf(m, der, len) : NULL;
	}
	json_decref(root);
	return x;
}

static void receive(struct mint *m)
{
	char *text = malloc(MINT_MESSAGE_MAX);
	ssize_t n;

	if (!text)
		return;
	while (m->link) {
		struct entry *e = TAILQ_FIRST(&m->asked);
		int error = 0;
		X509 *leaf;

		n = recv(m->link->fd, text, MINT_MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n > 0 && n <= MINT_MESSAGE_MAX && m->unasked && secretmsg_is_changed(text, (size_t)n)) {
			m->unasked(m->user, text, (size_t)n);
			continue;
		}
		if (n <= 0 || n > MINT_MESSAGE_MAX || !e || e == m->unsent) {
			lose_keeper(m, n < 0 ? strerror(errno) : n == 0 ? "it closed the connection" : "an unasked message");
			break;
		}
		if (e->question) {
			settle_question(m, e, text, (size_t)n);
			explicit_bzero(text, (size_t)n);
			continue;
		}
		leaf = parse_reply(m, e, text, (size_t)n, &error);
		if (!leaf && error == -EPROTO) {
			lose_keeper(m, "a reply that makes no sense");
			break;
		}
		settle(m, e, leaf, leaf ? 0 : error);
	}
	free(text);
}

static void polled(uv_poll_t *h, int status, int events)
{
	struct link *l = h->data;
	struct mint *m = l->mint;

	if (!m)
		return;
	if (status < 0) {
		lose_keeper(m, uv_strerror(status));
		return;
	}
	if (events & UV_READABLE)
		receive(m);
	if (m->link == l && (events & UV_WRITABLE))
		send_unsent(m);
}

static void watch(struct mint *m)
{
	bool writing = m->unsent != NULL;

	if (writing != m->link->writing)
		(void)uv_poll_start(&m->link->poll, UV_READABLE | (writing ? UV_WRITABLE : 0), polled);
	m->link->writing = writing;
}

/* Those whose time is over, and those that were asked for without a keeper. */
static void ticked(uv_timer_t *t)
{
	struct mint *m = t->data;
	struct entry *e, *next;
	uint64_t now = io_now_ms();

	if (!m->link) {
		fail_asked(m);
	} else {
		for (e = TAILQ_FIRST(&m->asked); e && e->due_ms <= now; e = next) {
			next = TAILQ_NEXT(e, link);
			tell(e, -ETIMEDOUT);
			if (!m->link)
				break;
		}
	}
	if (m->nasked == 0)
		(void)uv_timer_stop(t);
}

/* --- life --- */

/* An EC_KEY, because X509_set_pubkey has a provider encode and decode any other kind (180 us); signing is the provider's either way. */
static EVP_PKEY *new_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();

	if (ec && key && EC_KEY_generate_key(ec) == 1 && EVP_PKEY_assign_EC_KEY(key, ec) == 1)
		return key;
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

static int make_key(struct mint *m)
{
	m->key = new_key();
	m->spki_len = m->key ? i2d_PUBKEY(m->key, &m->spki) : -1;
	if (m->spki_len <= 0 || !(m->spki_text = malloc((size_t)m->spki_len * 4 / 3 + 5)))
		return -ENOMEM;
	(void)EVP_EncodeBlock((uint8_t *)m->spki_text, m->spki, m->spki_len);
	/* With none at all OpenSSL would load its default one. */
	m->nothing = OSSL_LIB_CTX_new();
	m->null = m->nothing ? OSSL_PROVIDER_load(m->nothing, "null") : NULL;
	return m->null ? 0 : -ENOMEM;
}

static void drop_key(struct mint *m)
{
	EVP_PKEY_free(m->key);
	OPENSSL_free(m->spki);
	free(m->spki_text);
	if (m->null)
		(void)OSSL_PROVIDER_unload(m->null);
	OSSL_LIB_CTX_free(m->nothing);
}

static void timer_closed(uv_handle_t *h)
{
	free(h->data);
}

struct mint *mint_new(uv_loop_t *loop, void (*lost)(void *user), void *user)
{
	struct mint *m = calloc(1, sizeof(*m));

	if (!m || make_key(m) < 0) {
		if (m)
			drop_key(m);
		free(m);
		return NULL;
	}
	m->loop = loop;
	m->lost = lost;
	m->user = user;
	TAILQ_INIT(&m->known);
	TAILQ_INIT(&m->asked);
	(void)uv_timer_init(loop, &m->timer);
	m->timer.data = m;
	return m;
}

void mint_free(struct mint *m)
{
	struct entry *e;

	if (!m)
		return;
	drop_link(m);
	while ((e = TAILQ_FIRST(&m->asked))) {
		TAILQ_REMOVE(&m->asked, e, link);
		entry_free(m, e);
	}
	while ((e = TAILQ_FIRST(&m->known)))
		forget(m, e);
	drop_key(m);
	uv_close((uv_handle_t *)&m->timer, timer_closed);
}

int mint_keeper(struct mint *m, int fd)
{
	struct link *l = calloc(1, sizeof(*l));
	int r = l ? uv_poll_init(m->loop, &l->poll, fd) : -ENOMEM;

	if (r < 0) {
		free(l);
		own_close_p(&fd);
		return r;
	}
	drop_link(m);
	fail_asked(m);
	l->poll.data = l;
	l->mint = m;
	l->fd = fd;
	m->link = l;
	(void)uv_poll_start(&l->poll, UV_READABLE, polled);
	return 0;
}

bool mint_ready(const struct mint *m)
{
	return m->link != NULL;
}

EVP_PKEY *mint_key(const struct mint *m)
{
	return m->key;
}

X509 *mint_find(struct mint *m, const struct dest *host)
{
	struct entry *e = *place_of(m, host->host);

	if (!e || !e->leaf)
		return NULL;
	if (time(NULL) - e->made > FRESH_S || time(NULL) < e->made) {
		forget(m, e);
		return NULL;
	}
	TAILQ_REMOVE(&m->known, e, link);
	TAILQ_INSERT_HEAD(&m->known, e, link);
	(void)X509_up_ref(e->leaf);
	return e->leaf;
}

static void ask(struct mint *m, struct entry *e)
{
	e->due_ms = io_now_ms() + MINT_DEADLINE_MS;
	TAILQ_INSERT_TAIL(&m->asked, e, link);
	m->nasked++;
	if (!uv_is_active((uv_handle_t *)&m->timer))
		(void)uv_timer_start(&m->timer, ticked, m->link ? TICK_MS : 0, TICK_MS);
	if (!m->link)
		return;
	if (!m->unsent)
		m->unsent = e;
	/* Sent at once where the socket takes it; an error shows at the next poll. */
	if (m->unsent == e && send_ask(m, e) == 0)
		m->unsent = NULL;
	watch(m);
}

struct mint_wait *mint_get(struct mint *m, const struct dest *host, mint_done *done, void *user)
{
	struct entry **place = place_of(m, host->host), *e = *place;
	struct mint_wait *w;

	if (e && e->leaf) {
		forget(m, e);
		e = NULL;
	}
	if (!e && m->nasked >= MINT_PENDING_MAX)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e) {
			free(w);
			return NULL;
		}
		memcpy(e->host, host->host, sizeof(e->host));
		TAILQ_INIT(&e->waits);
		place = place_of(m, e->host);
		e->chain = *place;
		*place = e;
		ask(m, e);
	}
	*w = (struct mint_wait){ .entry = e, .done = done, .user = user };
	TAILQ_INSERT_TAIL(&e->waits, w, link);
	return w;
}

struct mint_wait *mint_ask(struct mint *m, const char *question, mint_reply *reply, void *user)
{
	struct mint_wait *w = m->nasked < MINT_PENDING_MAX ? calloc(1, sizeof(*w)) : NULL;
	struct entry *e = w ? calloc(1, sizeof(*e)) : NULL;

	if (e)
		e->question = strdup(question);
	if (!e || !e->question) {
		free(e);
		free(w);
		return NULL;
	}
	TAILQ_INIT(&e->waits);
	*w = (struct mint_wait){ .entry = e, .reply = reply, .user = user };
	TAILQ_INSERT_TAIL(&e->waits, w, link);
	ask(m, e);
	return w;
}

void mint_on_unasked(struct mint *m, void (*unasked)(void *user, const char *text, size_t n))
{
	m->unasked = unasked;
}

void mint_cancel(struct mint_wait *w)
{
	if (!w)
		return;
	TAILQ_REMOVE(&w->entry->waits, w, link);
	free(w);
}
