/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision: hosts and ports, wildcards, addresses, requests, raw TCP, the host's own services; and what holds for every
 * policy: a deny more never allows more, an allow more never denies more, the order of the rules does not show.
 */
#include "policies.h"

struct row {
	const char *where, *request, *address, *says;
};

static void check_rows(const struct policy *p, const char *sandbox, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct asked q = { rows[i].where, rows[i].request, rows[i].address, sandbox };
		struct verdict v;
		char text[200];

		decide(p, &q, &v);
		say(&v, text, sizeof(text));
		if (strcmp(text, rows[i].says) != 0)
			fail_msg("%s %s %s: %s, not %s", q.where, q.request ? q.request : "-", q.address ? q.address : "-", text,
				 rows[i].says);
	}
}
#define CHECK(p, sandbox, rows) check_rows(p, sandbox, rows, ARRAY_LEN(rows))

/* The policy of the list of attacks. */
static const char balanced[] = "allow id=ok80 ok.test:80\n"
			       "allow id=ok443 ok.test:443\n"
			       "allow id=wild *.wild.test:443\n"
			       "allow id=deep **.deep.test\n"
			       "deny id=no deny.wild.test\n";

static void names_and_ports(void **state)
{
	static const struct row rows[] = {
		{ "https OK.TeSt:443", NULL, NULL, "allow rule ok443" },
		{ "https ok.test.:443", NULL, NULL, "allow rule ok443" },
		{ "http ok.test:80", "GET /", NULL, "allow rule ok80" },
		{ "https a.wild.test:443", NULL, NULL, "allow rule wild" },
		{ "https xn--bcher-kva.wild.test:443", NULL, NULL, "allow rule wild" },
		{ "https -.wild.test:443", NULL, NULL, "allow rule wild" },
		{ "https wild.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https a.b.wild.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https awild.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https a.wild.test.evil.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https a.b.c.deep.test:443", NULL, NULL, "allow rule deep" },
		{ "https a.deep.test:8443", NULL, NULL, "allow rule deep" },
		{ "https deep.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https ok.test:8443", NULL, NULL, "deny port default-deny" },
		{ "https sub.ok.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https evil.test:443", NULL, NULL, "deny no_rule default-deny" },
		{ "https DENY.wild.test.:443", NULL, NULL, "deny rule no" },
		{ "http deny.wild.test:80", "GET /", NULL, "deny rule no" },
		{ "tcp ok.test:443", NULL, NULL, "deny tcp default-deny" },
		{ "https 93.184.216.66:443", NULL, NULL, "deny raw_ip default-deny" },
		{ "tcp [2606:2800:220:1::66]:22", NULL, NULL, "deny raw_ip default-deny" },
	};
	auto_(policy) struct policy *p = policy_of(balanced), *empty = policy_of("");
	struct verdict v;

	CHECK(p, NULL, rows);
	/* What says nothing allows nothing. */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		decide(empty, &(struct asked){ .where = rows[i].where }, &v);
		assert_int_equal(v.action, RULE_DENY);
	}
}

static void deny_wins(void **state)
{
	static const char *const orders[] = {
		"allow id=a **.wild.test\ndeny id=d deny.wild.test\nallow id=b deny.wild.test:443\n",
		"allow id=b deny.wild.test:443\ndeny id=d deny.wild.test\nallow id=a **.wild.test\n",
		"deny id=d deny.wild.test\nallow id=a **.wild.test\nallow id=b deny.wild.test:443\n",
	};
	static const struct row rows[] = {
		{ "https deny.wild.test:443", NULL, NULL, "deny rule d" },
		{ "https deny.wild.test:443", "GET /x", "93.184.216.34", "deny rule d" },
		{ "https DENY.WILD.test.:443", NULL, NULL, "deny rule d" },
		{ "https x.deny.wild.test:443", NULL, NULL, "allow rule a" },
	};
	auto_(policy) struct policy *wide = policy_of("allow id=a ok.test:443\ndeny id=d **.test\ndeny id=z **\n");

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		auto_(policy) struct policy *p = policy_of(orders[i]);

		CHECK(p, NULL, rows);
	}
	/* Of several denies the narrower is the one that is named. */
	CHECK(wide, NULL, ((const struct row[]){ { "https ok.test:443", NULL, NULL, "deny rule d" },
						 { "https ok.example:443", NULL, NULL, "deny rule z" },
						 { "tcp 93.184.216.34:22", NULL, NULL, "deny rule z" } }));
}

/* No way to write an address leads to something that is not on the internet, however open the policy is. */
static void open_is_the_internet(void **state)
{
	static const char *const hosts[] = {
		"127.0.0.1", "0.0.0.0", "localhost", "localhost.", "LOCALHOST", "a.localhost", "ip6-localhost", "[::1]", "[::]",
		"[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]",
		"169.254.169.254", "metadata.google.internal", "instance-data", "168.63.129.16", "100.100.100.200",
		"[fd00:ec2::254]", "169.254.170.2", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "192.0.0.8",
		"192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"[::7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
		"[64:ff9b:1::1]", "[100::1]", "[2001::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[2001:db8::1]",
		"[2002:7f00:1::1]", "[2002:a9fe:a9fe::]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fe80::1]", "[fec0::1]",
		"[ff02::1]", "[ff05::1:3]",
	};
	static const struct row public[] = {
		{ "https [2606:2800:220:1::10]:443", NULL, NULL, "allow default default-allow" },
		{ "http 93.184.216.34:80", "GET /", NULL, "allow default default-allow" },
		{ "https some.example:443", NULL, "93.184.216.34", "allow default default-allow" },
		{ "https gateway.docker.internal:443", NULL, NULL, "deny self builtin" },
		{ "http host.docker.internal:8001", NULL, NULL, "deny localhost builtin" },
		{ "tcp some.example:22", NULL, NULL, "deny tcp default-deny" },
		{ "https some.example:443", NULL, "own 93.184.216.34", "deny address builtin" },
		{ "https some.example:443", NULL, "link 2a00:1:2:3::9", "deny address builtin" },
	};
	auto_(policy) struct policy *p = policy_of("default allow\n"), *wild = policy_of("allow *.wild.test\n");
	struct verdict v;
	char where[100];

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct dest d;

		(void)str_format(where, sizeof(where), "http %s:8001", hosts[i]);
		decide(p, &(struct asked){ .where = where, .request = "GET /" }, &v);
		if (v.action != RULE_DENY || v.reason != POLICY_ADDRESS)
			fail_msg("%s: %s %s", hosts[i], rule_action_name(v.action), policy_reason_name(v.reason));
		/* The same behind a name that is allowed. */
		dest_of(where, &d);
		if (d.kind == DEST_NAME)
			continue;
		decide(wild, &(struct asked){ "https rebind.wild.test:443", NULL, d.host, NULL }, &v);
		if (v.action != RULE_DENY || v.reason != POLICY_ADDRESS)
			fail_msg("resolved to %s: %s", hosts[i], rule_action_name(v.action));
	}
	CHECK(p, NULL, public);
}

static void addresses_that_rules_open(void **state)
{
	static const struct row rows[] = {
		{ "tcp 10.1.2.3:5432", NULL, NULL, "allow rule net" },
		{ "tcp 10.1.2.3:5433", NULL, NULL, "deny address builtin" },
		/* A range opens the address of a name; the name needs a rule of its own. */
		{ "https db.test:5432", NULL, "10.1.2.3", "allow rule name" },
		{ "https other.test:5432", NULL, "10.1.2.3", "deny no_rule default-deny" },
		/* A name opens no address. */
		{ "https db.test:5432", NULL, "10.2.0.1", "deny address builtin" },
		/* Exactly this address, whatever it is. */
		{ "tcp 127.0.0.1:8001", NULL, NULL, "allow rule lo" },
		{ "tcp 127.0.0.1:8002", NULL, NULL, "deny address builtin" },
		{ "tcp 192.168.7.7:1", NULL, "own 192.168.7.7", "deny address builtin" },
		{ "tcp 192.168.8.8:1", NULL, "own 192.168.8.8", "allow rule one" },
		/* A range around loopback or a link does not open it. */
		{ "tcp 127.0.0.5:9", NULL, NULL, "deny address builtin" },
		{ "tcp 169.254.7.7:9", NULL, NULL, "deny address builtin" },
		{ "tcp 169.254.169.254:9", NULL, NULL, "deny address builtin" },
		/* permittedRanges open addresses, not destinations. */
		{ "https db.test:443", NULL, "172.20.0.9", "allow rule name" },
		{ "tcp 172.20.0.9:443", NULL, NULL, "deny raw_ip default-deny" },
		{ "https db.test:443", NULL, "own 172.20.0.9", "deny address builtin" },
		{ "https db.test:443", NULL, "link 172.20.0.9", "allow rule name" },
		{ "https db.test:443", NULL, "127.9.9.9", "deny address builtin" },
	};
	auto_(policy) struct policy *p =
		policy_of("allow id=net 10.1.0.0/16:5432\nallow id=name db.test\nallow id=lo 127.0.0.1:8001\n"
			  "allow id=lonet 127.0.0.0/8:9\nallow id=ll 169.254.0.0/16:9\n"
			  "allow id=home 192.168.7.0/24\nallow id=one 192.168.8.8\nrange 172.20.0.0/16\nrange 127.0.0.0/8\n");

	CHECK(p, NULL, rows);
}

static void denied_ranges(void **state)
{
	static const struct row rows[] = {
		{ "https ok.test:443", NULL, NULL, "allow rule name" },
		{ "https ok.test:443", NULL, "93.184.216.34", "deny rule net" },
		{ "https ok.test:443", NULL, "93.184.217.34", "allow rule name" },
		{ "tcp 93.184.216.34:22", NULL, NULL, "deny rule net" },
		/* What hides the address in another one does not get past the deny. */
		{ "tcp [64:ff9b::5db8:d822]:22", NULL, NULL, "deny rule net" },
		{ "tcp [2002:5db8:d822::1]:22", NULL, NULL, "deny rule net" },
		{ "tcp [::ffff:93.184.216.34]:22", NULL, NULL, "deny rule net" },
		{ "tcp [64:ff9b::5db8:d922]:22", NULL, NULL, "allow rule nat" },
		/* NAT64 to what is not public stays closed. */
		{ "tcp [64:ff9b::a00:1]:22", NULL, NULL, "deny address builtin" },
	};
	auto_(policy) struct policy *p = policy_of(
		"allow id=name ok.test\nallow id=all 93.0.0.0/8\ndeny id=net 93.184.216.0/24\nallow id=nat 64:ff9b::/96\n");

	CHECK(p, NULL, rows);
}

static void an_address_that_is_another_one(void **state)
{
	auto_(policy) struct policy *p = policy_of("default allow\n");
	struct verdict v;

	decide(p, &(struct asked){ .where = "http 93.184.216.34:80", .address = "93.184.216.35" }, &v);
	assert_int_equal(v.action, RULE_DENY);
	assert_int_equal(v.reason, POLICY_ADDRESS);
}

static void services_of_the_host(void **state)
{
	static const struct row rows[] = {
		{ "http host.docker.internal:11434", "GET /", NULL, "allow rule r1" },
		{ "tcp host.docker.internal:11434", NULL, NULL, "allow rule r1" },
		{ "tcp host.docker.internal:11434", NULL, "127.0.0.1", "allow rule r1" },
		{ "tcp host.docker.internal:11434", NULL, "::1", "allow rule r1" },
		{ "tcp host.docker.internal:11434", NULL, "127.0.0.2", "deny address builtin" },
		{ "tcp host.docker.internal:11434", NULL, "93.184.216.34", "deny address builtin" },
		{ "tcp host.docker.internal:11435", NULL, NULL, "deny localhost builtin" },
		{ "tcp 127.0.0.1:11434", NULL, NULL, "deny address builtin" },
		{ "http localhost:11434", NULL, NULL, "deny address builtin" },
		{ "http gateway.docker.internal:11434", NULL, NULL, "deny self builtin" },
		{ "http x.host.docker.internal:11434", NULL, NULL, "deny self builtin" },
		{ "http host.docker.internal:7", "POST /x", NULL, "deny rule r3" },
		{ "tcp host.docker.internal:7", NULL, NULL, "deny rule r3" },
	};
	auto_(policy) struct policy *p =
		policy_of("allow localhost:11434\nallow localhost:7\ndeny POST localhost:7\ndefault allow\n");
	auto_(policy) struct policy *no = policy_of("allow localhost:11434\ndeny 127.0.0.0/8\n");
	auto_(policy) struct policy *none = policy_of("allow localhost:11434\ndeny **\n");

	CHECK(p, NULL, rows);
	CHECK(no, NULL, ((const struct row[]){ { "tcp host.docker.internal:11434", NULL, "127.0.0.1", "deny rule r2" } }));
	CHECK(none, NULL, ((const struct row[]){ { "tcp host.docker.internal:11434", NULL, NULL, "deny rule r2" } }));
}

static void requests(void **state)
{
	static const struct row rows[] = {
		{ "https api.test:443", NULL, NULL, "allow rule v1" },
		{ "https api.test:443", "GET /v1/x", NULL, "allow rule v1" },
		{ "https api.test:443", "GET /v1", NULL, "allow rule v1" },
		{ "https api.test:443", "GET /v1/%78", NULL, "allow rule v1" },
		{ "https api.test:443", "POST /v1/x", NULL, "deny method default-deny" },
		{ "https api.test:443", "get /v1/x", NULL, "deny method default-deny" },
		{ "https api.test:443", "GET /admin", NULL, "deny path default-deny" },
		{ "https api.test:443", "GET /v1/../admin", NULL, "deny ambiguous_path secret" },
		{ "https only.test:443", "GET /v1/x", NULL, "allow rule only" },
		{ "https only.test:443", "GET /v1/../admin", NULL, "deny ambiguous_path default-deny" },
		{ "https only.test:443", "GET /v1/%2e%2e/admin", NULL, "deny ambiguous_path default-deny" },
		{ "https only.test:443", "GET /v1/a%2fb", NULL, "deny ambiguous_path default-deny" },
		{ "https only.test:443", "GET", NULL, "deny ambiguous_path default-deny" },
		{ "https api.test:443", "GET /v1/secret/x", NULL, "deny rule secret" },
		{ "https api.test:443", "PUT /v1/secret/x", NULL, "deny rule secret" },
		{ "https api.test:443", "GET /v1/%73ecret/x", NULL, "deny rule secret" },
		{ "https npm.test:443", "GET /@scope%2fname", NULL, "allow rule npm" },
		/* A deny that might be meant is meant. */
		{ "https wide.test:443", "GET /x", NULL, "allow rule wide" },
		{ "https wide.test:443", "GET /a/..%2fsecret", NULL, "deny ambiguous_path hide" },
		{ "https wide.test:443", "GET", NULL, "deny ambiguous_path hide" },
		/* Nobody sees requests in raw TCP. */
		{ "tcp api.test:443", NULL, NULL, "deny rule secret" },
	};
	auto_(policy) struct policy *p = policy_of(
		"allow id=v1 GET,HEAD /v1/** api.test:443\ndeny id=secret /v1/secret/** api.test\n"
		"allow id=npm GET /@scope%2Fname npm.test\nallow id=only /v1/** only.test\nallow id=wide wide.test\ndeny id=hide /secret/** wide.test\n");
	struct verdict v;

	CHECK(p, NULL, rows);
	decide(p, &(struct asked){ .where = "https api.test:443" }, &v);
	assert_true(v.needs_inspection && v.path_matters);
	decide(p, &(struct asked){ .where = "https npm.test:443" }, &v);
	assert_true(v.needs_inspection && v.path_matters);
}

static void git_pushes(void **state)
{
	static const struct row rows[] = {
		{ "https git.test:443", "GET /me/x/info/refs?service=git-upload-pack", NULL, "allow rule read" },
		{ "https git.test:443", "POST /me/x/git-upload-pack", NULL, "allow rule fetch" },
		{ "https git.test:443", "GET /me/x/info/refs?service=git-receive-pack", NULL, "deny path default-deny" },
		{ "https git.test:443", "GET /me/x/info/refs?service=git%2Drece%69ve-pack", NULL, "deny path default-deny" },
		{ "https git.test:443", "GET /me/x/info/refs?a=b&service=GIT-RECEIVE-PACK", NULL, "deny path default-deny" },
		{ "https git.test:443", "POST /me/x/git-receive-pack", NULL, "deny path default-deny" },
		{ "https git.test:443", "GET /mine/info/refs?service=git-receive-pack", NULL, "allow rule push" },
		{ "https git.test:443", "POST /mine/git-receive-pack", NULL, "allow rule push" },
	};
	auto_(policy) struct policy *p = policy_of("allow id=read GET,HEAD git.test:443\n"
						   "allow id=fetch POST /**/git-upload-pack git.test:443\n"
						   "allow id=push POST /mine/git-receive-pack git.test:443\n");

	CHECK(p, NULL, rows);
}

static void raw_tcp(void **state)
{
	static const struct row rows[] = {
		{ "tcp ssh.test:22", NULL, NULL, "allow rule r1" },
		{ "tcp ssh.test:23", NULL, NULL, "deny port default-deny" },
		{ "tcp a.ssh.test:22", NULL, NULL, "deny no_rule default-deny" },
		{ "tcp a.b.git.test:22", NULL, NULL, "allow rule r2" },
		{ "https ssh.test:22", NULL, NULL, "allow rule r1" },
		{ "tcp ok.test:22", NULL, NULL, "deny rule r4" },
		{ "tcp 93.184.216.34:22", NULL, NULL, "allow rule r5" },
	};
	auto_(policy) struct policy *p = policy_of("allow tcp ssh.test:22\nallow tcp **.git.test:22\nallow tcp ok.test:22\n"
						   "deny ok.test:22\nallow 93.184.216.0/24\n");

	CHECK(p, NULL, rows);
}

static void web_sockets(void **state)
{
	static const struct row rows[] = {
		{ "https a.test:443", "WS /x", NULL, "deny websocket no" },
		{ "http a.test:443", "WS /x", NULL, "deny websocket no" },
		{ "https a.test:443", "GET /x", NULL, "allow rule no" },
		{ "https a.test:8443", "WS /x", NULL, "allow rule wide" },
		{ "https b.test:443", "WS /chat/x", NULL, "deny websocket some" },
		{ "https b.test:443", "GET /chat/x", NULL, "allow rule narrow" },
		{ "https b.test:443", "GET /chat/y", NULL, "allow rule some" },
		{ "https b.test:443", "WS /other", NULL, "allow rule all" },
		{ "https b.test:443", "WS /a/../chat", NULL, "deny websocket some" },
		{ "https c.test:443", "WS /", NULL, "deny websocket asked" },
		{ "https c.test:443", "GET /", NULL, "ask rule asked" },
		{ "tcp a.test:443", NULL, NULL, "deny tcp default-deny" },
		{ "tcp d.test:443", NULL, NULL, "allow rule any" },
	};
	/* However narrow an allow without it is: what refuses WebSocket does so as a deny. */
	auto_(policy) struct policy *p = policy_of("allow id=wide origin=preset **.test\nallow id=no ws=no a.test:443\nallow id=all b.test\n"
						   "allow id=some ws=no /chat/** b.test:443\nallow id=narrow GET /chat/x b.test:443\n"
						   "ask id=asked ws=no c.test:443\nallow id=d ws=no d.test\nallow id=any tcp d.test:443\n");
	static const char *const refused[] = { "deny ws=no a.test", "allow ws=no tcp a.test:22", "allow ws=no 10.1.0.0/16",
					       "allow ws=no tls=splice a.test" };
	struct verdict v;
	struct rule r;

	/* Narrower for requests, and still not for WebSocket. */
	decide(p, &(struct asked){ .where = "https b.test:443", .request = "WS /chat/x" }, &v);
	assert_string_equal(v.id, "some");
	CHECK(p, NULL, rows);
	decide(p, &(struct asked){ .where = "https a.test:443" }, &v);
	assert_true(v.action == RULE_ALLOW && v.needs_inspection && !v.path_matters);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_true(rule_of(refused[i], "x", &r, NULL) < 0);
}

static void expected_bytes(void **state)
{
	static const struct row rows[] = {
		{ "tcp ssh.test:22", NULL, NULL, "allow rule s" },
		{ "https ssh.test:22", NULL, NULL, "deny expect default-deny" },
		{ "http ssh.test:22", "GET /", NULL, "deny expect default-deny" },
		{ "https both.test:22", NULL, NULL, "allow rule web" },
		{ "https 93.184.216.34:22", NULL, NULL, "deny expect default-deny" },
		{ "http host.docker.internal:2222", "GET /", NULL, "deny localhost builtin" },
		{ "https any.test:22", NULL, NULL, "allow rule any" },
	};
	static const struct {
		const char *where;
		enum rule_expect want;
	} says[] = {
		{ "tcp ssh.test:22", RULE_EXPECT_SSH },          { "tcp both.test:22", RULE_EXPECT_SSH },
		{ "tcp 93.184.216.34:22", RULE_EXPECT_SSH },     { "tcp host.docker.internal:2222", RULE_EXPECT_SSH },
		{ "tcp any.test:22", RULE_EXPECT_NONE },         { "tcp ask.test:22", RULE_EXPECT_SSH },
		{ "tcp narrow.wide.test:22", RULE_EXPECT_SSH },  { "tcp other.wide.test:22", RULE_EXPECT_NONE },
		{ "tcp [2606:2800:220:1::10]:22", RULE_EXPECT_NONE },
	};
	static const char *const refused[] = { "deny expect=ssh ssh.test:22", "allow expect=ssh ssh.test:22", "allow expect=ssh 10.1.0.0/16",
					       "allow expect=ssh GET tcp ssh.test:22" };
	auto_(policy) struct policy *p = policy_of(
		"allow id=s expect=ssh tcp ssh.test:22\nallow expect=ssh tcp both.test:22\nallow id=web both.test:22\n"
		"allow expect=ssh 93.184.216.0/24:22\nallow expect=ssh localhost:2222\nask expect=ssh tcp ask.test:22\n"
		/* Equally narrow: the one that expects nothing. */
		"allow id=1 expect=ssh tcp any.test:22\nallow id=any tcp any.test:22\n"
		"allow tcp **.wide.test:22\nallow expect=ssh tcp narrow.wide.test:22\nallow [2606:2800:220:1::10]:22\n");
	struct verdict v;
	struct rule r;

	CHECK(p, NULL, rows);
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		decide(p, &(struct asked){ .where = says[i].where }, &v);
		if (v.action == RULE_DENY || v.expect != says[i].want)
			fail_msg("%s: %s, expects %s", says[i].where, rule_action_name(v.action), rule_expect_name(v.expect));
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_true(rule_of(refused[i], "x", &r, NULL) < 0);
}

static void asking(void **state)
{
	static const struct row rows[] = {
		{ "https x.test:443", NULL, NULL, "ask rule wide" },
		{ "https a.x.test:443", NULL, NULL, "allow rule a" },
		{ "https b.x.test:443", NULL, NULL, "ask rule b" },
		{ "https same.test:443", NULL, NULL, "allow rule same1" },
		{ "https no.test:443", NULL, NULL, "deny rule no2" },
		/* The connection is made so that the request can be asked about. */
		{ "https api.test:443", NULL, NULL, "allow rule api" },
		{ "https api.test:443", "DELETE /x", NULL, "ask rule api" },
		{ "https api.test:443", "GET /x", NULL, "deny method default-deny" },
		{ "tcp raw.test:22", NULL, NULL, "ask rule raw" },
	};
	auto_(policy) struct policy *p = policy_of(
		"ask id=wide x.test\nallow id=a **.x.test\nask id=b b.x.test\nask id=same2 same.test\nallow id=same1 same.test\n"
		"ask id=no1 no.test\ndeny id=no2 no.test\nask id=api DELETE api.test\nask id=raw tcp raw.test:22\n");
	auto_(policy) struct policy *all = policy_of("default ask\n");

	CHECK(p, NULL, rows);
	CHECK(all, NULL, ((const struct row[]){ { "https any.test:443", NULL, NULL, "ask default default-ask" },
						{ "tcp any.test:22", NULL, NULL, "deny tcp default-deny" },
						{ "https any.test:443", NULL, "10.0.0.1", "deny address builtin" } }));
}

static void sandboxes(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("allow id=all ok.test\nallow id=mine @box mine.test\ndeny id=not @box ok.test\n");

	CHECK(p, "box", ((const struct row[]){ { "https ok.test:443", NULL, NULL, "deny rule not" },
					       { "https mine.test:443", NULL, NULL, "allow rule mine" } }));
	CHECK(p, "bo", ((const struct row[]){ { "https ok.test:443", NULL, NULL, "allow rule all" },
					      { "https mine.test:443", NULL, NULL, "deny no_rule default-deny" } }));
	CHECK(p, NULL, ((const struct row[]){ { "https ok.test:443", NULL, NULL, "allow rule all" },
					      { "https mine.test:443", NULL, NULL, "deny no_rule default-deny" } }));
}

static void how_tls_is_treated(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("allow plain.test\nallow tls=splice pin.test\nallow tls=intercept seen.test\nallow GET get.test\n");
	auto_(policy) struct policy *all = policy_of("tls intercept\nallow plain.test\nallow tls=splice pin.test\n");
	const struct {
		const struct policy *p;
		const char *where;
		bool needs_inspection, splice;
	} rows[] = {
		{ p, "https plain.test:443", false, false }, { p, "https pin.test:443", false, true },
		{ p, "https seen.test:443", true, false },   { p, "http seen.test:80", false, false },
		{ p, "https get.test:443", true, false },    { p, "http get.test:80", true, false },
		{ all, "https plain.test:443", true, false }, { all, "https pin.test:443", false, true },
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		decide(rows[i].p, &(struct asked){ .where = rows[i].where }, &v);
		assert_int_equal(v.action, RULE_ALLOW);
		if (v.needs_inspection != rows[i].needs_inspection || v.splice != rows[i].splice)
			fail_msg("%s: inspection %d, splice %d", rows[i].where, v.needs_inspection, v.splice);
	}
}

static void a_spliced_name_has_no_other_rules(void **state)
{
	static const struct {
		const char *rules;
		int ret;
	} cases[] = {
		{ "allow tls=splice pin.test\nallow pin.test\ndeny x.pin.test\n", 0 },
		{ "allow tls=splice pin.test\nallow GET pin.test\n", -EEXIST },
		{ "deny POST **.test\nallow tls=splice pin.test\n", -EEXIST },
		{ "deny /x **\nallow tls=splice pin.test\n", -EEXIST },
		{ "allow tls=splice pin.a.test\nallow tls=intercept *.a.test\n", -EEXIST },
		{ "allow tls=splice pin.test:443\nallow GET pin.test:80\n", 0 },
		{ "allow tls=splice @a pin.test:443\nallow GET @b pin.test:443\n", 0 },
		{ "allow tls=splice @a pin.test:443\nallow GET pin.test:443\n", -EEXIST },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(policy) struct policy *p = policy_of(cases[i].rules);
		struct err err;

		if (policy_check(p, &err) != cases[i].ret)
			fail_msg("%s", cases[i].rules);
	}
}

static void lookups(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("allow tcp ssh.test:22\nallow GET /x get.test:443\nallow no.test\ndeny no.test:443\nallow off.test\n"
			  "deny off.test\n");
	static const struct {
		const char *where;
		enum rule_action action;
	} rows[] = {
		{ "https ssh.test:1", RULE_ALLOW }, { "https get.test:1", RULE_ALLOW }, { "https no.test:1", RULE_ALLOW },
		{ "https off.test:1", RULE_DENY },  { "https none.test:1", RULE_DENY },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_query q = { .any_port = true };
		struct verdict v;
		struct dest d;

		dest_of(rows[i].where, &d);
		q.dest = &d;
		policy_decide(p, &q, &v);
		assert_int_equal(v.action, rows[i].action);
	}
}

/* --- what holds for every policy --- */

static uint32_t seed = 20261124;

static unsigned int random_below(unsigned int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}
#define PICK(a) ((a)[random_below(ARRAY_LEN(a))])

static const char *const resources[] = {
	"a.test", "b.a.test", "*.a.test", "**.a.test", "**.test", "a.test:443", "a.test:80", "*.a.test:443", "10.0.0.0/8", "10.1.2.3",
	"93.184.216.0/24", "93.184.216.34:443", "2606:2800::/32", "localhost:443", "tcp a.test:443", "tcp *.a.test:22",
	"tcp b.a.test:443", "expect=ssh tcp a.test:443", "expect=ssh tcp *.a.test:22",
};
static const char *const https[] = { " ws=no", "", "", "", "", " GET", " GET,POST", " /v1/**", " GET /v1/*", " /v1/x%2Fy" };
static const char *const scopes[] = { "", "", "", " @box" };
static const char *const wheres[] = {
	"https a.test:443", "http a.test:80", "tcp a.test:443", "https b.a.test:443", "tcp b.a.test:22", "https c.b.a.test:8443",
	"https 10.1.2.3:443", "tcp 93.184.216.34:443", "https [2606:2800:220:1::10]:443", "http host.docker.internal:443",
	"https x.test:443", "https other.example:443",
};
static const char *const asks[] = { NULL, "GET", "GET /v1/x", "POST /v1/x", "GET /v1/x%2fy", "DELETE /", "GET /v1/../x", "WS /v1/x" };
static const char *const addresses[] = { NULL,       "93.184.216.34", "10.1.2.3", "own 93.184.216.34", "link 10.1.2.3",
					 "127.0.0.1", "64:ff9b::a01:203" };

/* A rule that rule_check takes, or "". */
static void random_rule(enum rule_action action, char *dst, size_t size)
{
	struct rule r;

	do {
		(void)str_format(dst, size, "%s%s%s %s", rule_action_name(action), PICK(scopes), PICK(https), PICK(resources));
	} while (rule_of(dst, "x", &r, NULL) < 0);
	rule_done(&r);
}

static struct asked random_question(void)
{
	struct asked q = { PICK(wheres), NULL, NULL, random_below(2) ? "box" : NULL };

	if (strchr(q.where, '[') || (q.where[strcspn(q.where, " ") + 1] >= '0' && q.where[strcspn(q.where, " ") + 1] <= '9'))
		q.address = NULL;
	else
		q.address = PICK(addresses);
	if (!str_starts(q.where, "tcp "))
		q.request = PICK(asks);
	return q;
}

#define RULES 8
struct random_policy {
	char lines[RULES][200];
	size_t n;
	const char *fallback;
};

static void random_policy(struct random_policy *ret)
{
	static const char *const defaults[] = { "default deny", "default ask", "default allow" };

	ret->n = random_below(RULES);
	ret->fallback = PICK(defaults);
	for (size_t i = 0; i < ret->n; i++)
		random_rule((enum rule_action)random_below(3), ret->lines[i], sizeof(ret->lines[i]));
}

/* With the rules in the order of `order`; ids go with the rules. */
static struct policy *build(const struct random_policy *from, const size_t *order, const char *extra)
{
	struct policy *p = policy_of(from->fallback);
	char line[300];

	for (size_t i = 0; i < from->n; i++) {
		const char *rule = from->lines[order[i]];
		size_t n = strcspn(rule, " ");

		(void)str_format(line, sizeof(line), "%.*s id=r%zu%s", (int)n, rule, order[i], rule + n);
		policy_line(p, line);
	}
	if (extra)
		policy_line(p, extra);
	return p;
}

static void shuffle(size_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n; i > 1; i--) {
		size_t k = random_below((unsigned int)i), kept = order[i - 1];

		order[i - 1] = order[k];
		order[k] = kept;
	}
}

static void one_more_rule(enum rule_action action)
{
	size_t order[RULES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	unsigned int changed = 0;

	for (int round = 0; round < 6000; round++) {
		struct random_policy from;
		char extra[200], line[220];

		random_policy(&from);
		random_rule(action, extra, sizeof(extra));
		(void)str_format(line, sizeof(line), "%.*s id=extra%s", (int)strcspn(extra, " "), extra, strchr(extra, ' '));
		auto_(policy) struct policy *p = build(&from, order, NULL), *more = build(&from, order, line);
		for (int i = 0; i < 12; i++) {
			const struct asked q = random_question();
			struct verdict before, after;

			decide(p, &q, &before);
			decide(more, &q, &after);
			/* What refuses WebSocket is a deny for it. */
			if (action == RULE_ALLOW && strstr(line, "ws=no") && q.request && str_starts(q.request, "WS"))
				continue;
			if (action == RULE_DENY ? after.action > before.action : after.action < before.action)
				fail_msg("%s: %s %s became %s with %s", q.where, q.request ? q.request : "-",
					 rule_action_name(before.action), rule_action_name(after.action), line);
			changed += after.action != before.action;
		}
	}
	/* A test that never sees a difference sees nothing. */
	assert_true(changed > 500);
}

static void one_more_deny_never_allows_more(void **state)
{
	one_more_rule(RULE_DENY);
}

static void one_more_allow_never_denies_more(void **state)
{
	one_more_rule(RULE_ALLOW);
}

static bool same_verdict(const struct verdict *a, const struct verdict *b)
{
	return a->action == b->action && a->reason == b->reason && str_eq(a->id, b->id) && a->explicit == b->explicit &&
	       a->needs_inspection == b->needs_inspection && a->splice == b->splice && a->expect == b->expect && a->path_matters == b->path_matters &&
	       (a->near == NULL) == (b->near == NULL) && (!a->near || str_eq(a->near->id, b->near->id)) &&
	       a->examined == b->examined;
}

static void order_does_not_show(void **state)
{
	for (int round = 0; round < 4000; round++) {
		struct random_policy from;
		size_t one[RULES], two[RULES];

		random_policy(&from);
		shuffle(one, from.n);
		shuffle(two, from.n);
		auto_(policy) struct policy *a = build(&from, one, NULL), *b = build(&from, two, NULL);
		for (int i = 0; i < 12; i++) {
			const struct asked q = random_question();
			struct verdict va, vb;

			decide(a, &q, &va);
			decide(b, &q, &vb);
			if (!same_verdict(&va, &vb))
				fail_msg("%s: %s %s, then %s %s", q.where, rule_action_name(va.action), va.id,
					 rule_action_name(vb.action), vb.id);
		}
	}
}

/* Where a connection is refused no request on it is let through, and the other way round for plain hosts. */
static void a_request_needs_its_connection(void **state)
{
	size_t order[RULES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	unsigned int seen = 0;

	for (int round = 0; round < 4000; round++) {
		struct random_policy from;

		random_policy(&from);
		auto_(policy) struct policy *p = build(&from, order, NULL);
		for (int i = 0; i < 12; i++) {
			struct asked q = random_question();
			struct verdict request, connection;

			if (!q.request)
				continue;
			decide(p, &q, &request);
			q.request = NULL;
			decide(p, &q, &connection);
			if (connection.action == RULE_DENY && request.action != RULE_DENY)
				fail_msg("%s: no connection, but a request", q.where);
			if (connection.action != request.action && !connection.needs_inspection)
				fail_msg("%s: requests differ, but nobody looks at them", q.where);
			seen += connection.action != request.action;
		}
	}
	assert_true(seen > 100);
}

static void matching_rules_are_found(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("allow ok.test:80\nallow GET ok.test:443\ndeny **.test\nallow other.test\nallow @box ok.test\n"
			  "allow 10.0.0.0/8\nallow localhost:80\ndeny **\n");
	struct policy_query q = { .sandbox = NULL };
	const struct rule *list[2];
	struct dest d;

	dest_of("https ok.test:443", &d);
	q.dest = &d;
	assert_int_equal(policy_matching(p, &q, list, 2), 4);
	assert_string_equal(list[0]->id, "r1");
	assert_string_equal(list[1]->id, "r2");
	q.sandbox = "box";
	assert_int_equal(policy_matching(p, &q, list, 0), 5);
	dest_of("tcp 10.0.0.1:1", &d);
	assert_int_equal(policy_matching(p, &q, list, 2), 2);
	assert_string_equal(list[0]->id, "r6");
	dest_of("http host.docker.internal:9", &d);
	assert_int_equal(policy_matching(p, &q, list, 2), 2);
	assert_string_equal(list[0]->id, "r7");
}

static void ranges_have_a_bound(void **state)
{
	auto_(policy) struct policy *p = policy_new();
	struct cidr c;
	struct err err;

	assert_int_equal(cidr_parse("10.0.0.0/8", 10, &c, NULL), 0);
	for (int i = 0; i < POLICY_RANGES_MAX; i++)
		assert_int_equal(policy_permit_range(p, &c, &err), 0);
	assert_int_equal(policy_permit_range(p, &c, &err), -ENOSPC);
	assert_int_equal(p->nranges, POLICY_RANGES_MAX);
}

static void every_reason_has_a_name(void **state)
{
	for (int a = 0; a < POLICY_REASONS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(policy_reason_name((enum policy_reason)a), policy_reason_name((enum policy_reason)b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_ports),
		cmocka_unit_test(deny_wins),
		cmocka_unit_test(open_is_the_internet),
		cmocka_unit_test(addresses_that_rules_open),
		cmocka_unit_test(denied_ranges),
		cmocka_unit_test(an_address_that_is_another_one),
		cmocka_unit_test(services_of_the_host),
		cmocka_unit_test(requests),
		cmocka_unit_test(git_pushes),
		cmocka_unit_test(raw_tcp),
		cmocka_unit_test(web_sockets),
		cmocka_unit_test(expected_bytes),
		cmocka_unit_test(asking),
		cmocka_unit_test(sandboxes),
		cmocka_unit_test(how_tls_is_treated),
		cmocka_unit_test(a_spliced_name_has_no_other_rules),
		cmocka_unit_test(lookups),
		cmocka_unit_test(one_more_deny_never_allows_more),
		cmocka_unit_test(one_more_allow_never_denies_more),
		cmocka_unit_test(order_does_not_show),
		cmocka_unit_test(a_request_needs_its_connection),
		cmocka_unit_test(matching_rules_are_found),
		cmocka_unit_test(ranges_have_a_bound),
		cmocka_unit_test(every_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
