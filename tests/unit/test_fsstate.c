/* SPDX-License-Identifier: Apache-2.0
 *
 * fsstate: what is written is read again, and what may not be written is not.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/own.h"
#include "wire/fsstate.h"

static const struct fsstate_id id = { 0xfffffffffffffffeU, 2, 3, -4, 999999999 };
static const struct fsstate_root root = { true, { 1, 2, 3, 4, 5 } };
static const struct fsstate_lock range = { 9, true, -1, 0x8000000000000000U, 0, INT64_MAX };
static const struct fsstate_wait waiting = { 77, 0x100000007U, { 1, 2, 3 } };
static const struct fsstate_handle opened = { 1, 2, 9, O_RDWR | O_SYNC, false, FSSTATE_FLOCK_SHARED, -5, 6, 7 };

static struct fsstate_node node_of(const char *name)
{
	struct fsstate_node n = { .index = 9, .gen = 1, .parent = 3, .root = 63, .type = S_IFSOCK, .nlookup = 1ULL << 40, .id = id };

	assert_true(snprintf(n.name, sizeof(n.name), "%s", name) < (int)sizeof(n.name));
	return n;
}

static void write_all(struct buf *b)
{
	struct fsstate_head h = { .nroots = 1, .nnodes = 2, .ncontents = 1, .nhandles = 1, .nlocks = 1, .nwaits = 1, .node_gen = 5, .handle_gen = 6 };
	const struct fsstate_content kept = { .node = 9, .mode = 0640, .change_s = 1, .change_ns = 2, .n = 3 };
	uint8_t *bytes;
	struct fsstate_node a = node_of("a name with \xff and spaces"), lost = node_of("");

	lost.parent = 0;
	h.offer[63] = 1;
	h.agreed[0] = 2;
	buf_init(b, FSSTATE_MAX_BYTES);
	assert_int_equal(fsstate_begin(b), 0);
	assert_int_equal(fsstate_put_root(b, &root), 0);
	assert_int_equal(fsstate_put_node(b, &a), 0);
	assert_int_equal(fsstate_put_node(b, &lost), 0);
	assert_int_equal(fsstate_put_content(b, &kept, &bytes), 0);
	memcpy(bytes, "abc", 3);
	assert_int_equal(fsstate_put_handle(b, &opened), 0);
	assert_int_equal(fsstate_put_lock(b, &range), 0);
	assert_int_equal(fsstate_put_wait(b, &waiting), 0);
	assert_int_equal(fsstate_end(b, &h), 0);
}

static void test_round(void **state)
{
	struct fsstate_reader r;
	struct fsstate_head h;
	struct fsstate_root root2;
	struct fsstate_node node;
	struct fsstate_content content;
	struct fsstate_handle handle;
	struct fsstate_lock lock;
	struct fsstate_wait wait;
	struct buf b;

	write_all(&b);
	assert_int_equal(fsstate_open(buf_bytes(&b), buf_len(&b), &h, &r), 0);
	assert_int_equal(h.node_gen, 5);
	assert_int_equal(h.handle_gen, 6);
	assert_int_equal(h.offer[63], 1);
	assert_int_equal(h.agreed[0], 2);
	assert_int_equal(fsstate_get_root(&r, &root2), 0);
	assert_true(root2.is_file && root2.id.mnt == 3 && root2.id.birth_ns == 5);
	assert_int_equal(fsstate_get_node(&r, &node), 0);
	assert_string_equal(node.name, "a name with \xff and spaces");
	assert_true(node.index == 9 && node.gen == 1 && node.parent == 3 && node.root == 63 && node.type == S_IFSOCK);
	assert_true(node.nlookup == 1ULL << 40 && node.id.dev == id.dev && node.id.birth_s == -4);
	assert_int_equal(fsstate_get_node(&r, &node), 0);
	assert_true(node.parent == 0 && node.name[0] == 0);
	assert_int_equal(fsstate_get_content(&r, &content), 0);
	assert_true(content.node == 9 && content.mode == 0640 && content.change_ns == 2 && content.n == 3);
	assert_memory_equal(content.bytes, "abc", 3);
	assert_int_equal(fsstate_get_handle(&r, &handle), 0);
	assert_true(handle.flags == (O_RDWR | O_SYNC) && handle.lock == FSSTATE_FLOCK_SHARED && !handle.dir);
	assert_true(handle.change_s == -5 && handle.change_ns == 6 && handle.bytes == 7 && handle.node == 9);
	assert_int_equal(fsstate_get_lock(&r, &lock), 0);
	assert_true(lock.write && lock.pid == -1 && lock.owner == range.owner && lock.last == INT64_MAX);
	assert_int_equal(fsstate_get_wait(&r, &wait), 0);
	assert_true(wait.unique == 77 && wait.node_id == waiting.node_id && wait.lk[2] == 3);
	assert_ptr_equal(r.at, r.end);
	assert_int_equal(fsstate_get_wait(&r, &wait), -EBADMSG);
	buf_done(&b);
}

/* Each byte counts: none may differ, none may be missing, none may follow. */
static void test_damage(void **state)
{
	struct fsstate_reader r;
	struct fsstate_head h;
	struct buf b;
	size_t n;

	write_all(&b);
	n = buf_len(&b);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fsstate_open(buf_bytes(&b), i, &h, &r), -EBADMSG);
		b.data[b.head + i] ^= 4;
		assert_int_equal(fsstate_open(buf_bytes(&b), n, &h, &r), i >= 8 && i < 12 ? -EPROTONOSUPPORT : -EBADMSG);
		b.data[b.head + i] ^= 4;
	}
	assert_int_equal(buf_append(&b, "", 1), 0);
	assert_int_equal(fsstate_open(buf_bytes(&b), n + 1, &h, &r), -EBADMSG);
	assert_int_equal(fsstate_open(buf_bytes(&b), n, &h, &r), 0);
	buf_done(&b);
}

static void test_not_written(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/b", "/" };
	struct fsstate_handle h = opened;
	struct fsstate_lock l = range;
	struct fsstate_head head = { .nnodes = FSSTATE_MAX_NODES + 1 };
	struct fsstate_node n;
	uint8_t *bytes;
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(fsstate_end(&b, &(struct fsstate_head){ 0 }), -EINVAL);
	assert_int_equal(fsstate_begin(&b), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		n = node_of(names[i]);
		assert_int_equal(fsstate_put_node(&b, &n), -EINVAL);
	}
	n = node_of("named without a parent");
	n.parent = 0;
	assert_int_equal(fsstate_put_node(&b, &n), -EINVAL);
	n = node_of("its own parent");
	n.parent = n.index;
	assert_int_equal(fsstate_put_node(&b, &n), -EINVAL);
	n = node_of("no type");
	n.type = 0;
	assert_int_equal(fsstate_put_node(&b, &n), -EINVAL);
	assert_int_equal(fsstate_put_content(&b, &(struct fsstate_content){ .n = FSSTATE_MAX_KEPT + 1 }, &bytes), -EINVAL);
	assert_int_equal(fsstate_put_content(&b, &(struct fsstate_content){ .n = 5000 }, &bytes), -EMSGSIZE);
	assert_int_equal(fsstate_put_content(&b, &(struct fsstate_content){ .mode = 010000 }, &bytes), -EINVAL);
	h.flags = O_RDWR | O_TRUNC;
	assert_int_equal(fsstate_put_handle(&b, &h), -EINVAL);
	h.flags = O_ACCMODE;
	assert_int_equal(fsstate_put_handle(&b, &h), -EINVAL);
	h = opened;
	h.dir = true;
	assert_int_equal(fsstate_put_handle(&b, &h), -EINVAL);
	l.first = 5;
	l.last = 4;
	assert_int_equal(fsstate_put_lock(&b, &l), -EINVAL);
	assert_int_equal(fsstate_end(&b, &head), -EINVAL);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
