/* SPDX-License-Identifier: Apache-2.0
 *
 * template: see template.h. The texts come from template_base.h, which the build makes (embed.py).
 */
#include "image/template.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "template_base.h"

/* Changes whenever the steps of this program change what comes out of the same texts. */
#define RECIPE "1 mmdebstrap minbase; vmlinux; newc modules; squashfs lz4 32K"

static const struct template templates[] = {
	{
		.name = "base",
		.suite = "trixie",
		.arch = "amd64",
		.kernel = "linux-image-cloud-amd64",
		.packages = template_base_packages,
		.dpkg = template_base_dpkg_cfg,
		.modules = template_base_modules,
		.customize = template_base_customize,
	},
};

const struct template *template_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(templates); i++)
		if (str_eq(templates[i].name, name))
			return &templates[i];
	return NULL;
}

int template_inputs(const struct template *t, char ret[static MANIFEST_DIGEST])
{
	const char *all[] = { RECIPE,	   t->name, t->suite,	t->arch,
			      t->kernel, t->packages, t->dpkg, t->modules, t->customize };
	uint8_t digest[32];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	/* The terminators are part of it, so that no two lists of texts read the same. */
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		ok = ok && EVP_DigestUpdate(md, all[i], strlen(all[i]) + 1);
	ok = ok && EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	if (!ok)
		return -ENOMEM;
	str_hex(ret, digest, sizeof(digest));
	return 0;
}
