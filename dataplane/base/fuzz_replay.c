/* fuzz_replay.c - a main for fuzz targets built without a fuzzing engine: it runs the target over
 * each file of the directories or files named, and over the empty input. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f) {
		perror(path);
		return 1;
	}
	len = fread(data, 1, sizeof(data), f);
	fclose(f);
	/* An allocation of exactly this size lets the sanitizer see a read past the end. */
	uint8_t *copy = malloc(len ? len : 1);
	for (size_t i = 0; i < len; i++)
		copy[i] = data[i];
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	return 0;
}

static int run_dir(const char *path, int *n_files)
{
	char file[4096];
	struct dirent *e;
	DIR *d = opendir(path);
	int bad = 0;

	if (!d) {
		perror(path);
		return 1;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		bad |= run_file(file);
		++*n_files;
	}
	closedir(d);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0, n_files = 0;
	struct stat st;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			bad |= run_dir(argv[i], &n_files);
		} else {
			bad |= run_file(argv[i]);
			n_files++;
		}
	}
	if (argc > 1 && !n_files) {
		fprintf(stderr, "no corpus file in %s\n", argv[1]);
		bad = 1;
	}
	printf("%d inputs\n", n_files);
	return bad;
}
