/* manager.c - one ipsec-mb manager per worker, and the choice of kernels by what the CPU has. */
#include "dataplane/cipher/internal.h"

static const char *arch_name(IMB_ARCH arch)
{
	static const char *const names[] = {
		[IMB_ARCH_NONE] = "none", [IMB_ARCH_NOAESNI] = "noaesni",
		[IMB_ARCH_SSE] = "sse",	  [IMB_ARCH_AVX] = "avx",
		[IMB_ARCH_AVX2] = "avx2", [IMB_ARCH_AVX512] = "avx512",
	};

	return (size_t)arch < ARRAY_LEN(names) ? names[arch] : "unknown";
}

/* The builtin also asks whether the operating system saves the wide registers. */
static bool cpu_has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
}

static bool cpu_has_sha(const IMB_MGR *mgr)
{
	return mgr->features & IMB_FEATURE_SHANI && __builtin_cpu_supports("sse4.1") &&
	       __builtin_cpu_supports("ssse3");
}

static const struct uiv_kernel *uiv_for(const IMB_MGR *mgr, unsigned flags, bool wide)
{
	if (flags & CIPHER_PORTABLE_UIV)
		return &uiv_portable;
	if (wide && mgr->features & IMB_FEATURE_VAES && mgr->features & IMB_FEATURE_VPCLMULQDQ)
		return &uiv_wide;
	if (mgr->features & IMB_FEATURE_AESNI && mgr->features & IMB_FEATURE_PCLMULQDQ &&
	    __builtin_cpu_supports("sse4.1"))
		return &uiv_ni;
	return &uiv_portable;
}

/* A step costs the same whether one stream takes part or sixteen. Where two streams go through the
 * SHA instructions side by side (Zen 4) ten of them cost as much; where one of them is bound by its
 * throughput already (Emerald Rapids), four (both measured). */
static unsigned lanes_pay_from(bool has_sha)
{
	if (!has_sha)
		return 2;
	return __builtin_cpu_is("intel") ? 5 : 10;
}

static void choose_kernels(struct cipher *c, const IMB_MGR *mgr, unsigned flags)
{
	const bool wide = !(flags & CIPHER_NO_AVX512) && cpu_has_avx512();

	c->ctr = ctr_portable;
	c->ctr_name = "ipsec-mb";
	c->sha1_blocks = sha1_blocks_portable;
	c->sha1_blocks_x2 = sha1_blocks_x2_portable;
	c->sha1_name = "portable";
	c->uiv = uiv_for(mgr, flags, wide);
	c->uiv_name = c->uiv->name;
	if (!(flags & CIPHER_PORTABLE_CTR) && wide && mgr->features & IMB_FEATURE_VAES) {
		c->ctr = ctr_vaes;
		c->ctr_name = "vaes512";
	}
	if (flags & CIPHER_PORTABLE_SHA1)
		return;
	if (cpu_has_sha(mgr)) {
		c->sha1_blocks = sha1_blocks_ni;
		c->sha1_blocks_x2 = sha1_blocks_x2_ni;
		c->sha1_name = "sha-ni";
	}
	if (wide) {
		c->sha1_cells_x16 = sha1_cells_x16;
		c->sha1_lanes_from = lanes_pay_from(cpu_has_sha(mgr));
		c->sha1_name = cpu_has_sha(mgr) ? "sha-ni, avx512 lanes" : "avx512 lanes";
	}
}

int cipher_init(struct cipher *c, unsigned flags)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);
	IMB_ARCH arch = IMB_ARCH_NONE;

	memset(c, 0, sizeof(*c));
	if (!mgr)
		return ERR_FULL;
	if (flags & CIPHER_NO_AVX512 && __builtin_cpu_supports("avx2")) {
		init_mb_mgr_avx2(mgr);
		arch = IMB_ARCH_AVX2;
	} else {
		init_mb_mgr_auto(mgr, &arch);
	}
	if (imb_get_errno(mgr) || (mgr->features & IMB_FEATURE_SELF_TEST &&
				   !(mgr->features & IMB_FEATURE_SELF_TEST_PASS))) {
		free_mb_mgr(mgr);
		return ERR_CRYPTO;
	}
	c->mgr = mgr;
	c->arch = arch_name(arch);
	choose_kernels(c, mgr, flags);
	return 0;
}

void cipher_fini(struct cipher *c)
{
	if (c->mgr)
		free_mb_mgr(c->mgr);
	memset(c, 0, sizeof(*c));
}
