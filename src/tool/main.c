/* SPDX-License-Identifier: MIT */
/*
 * Owns the command line. A mistake in it gives one line and status 2, any other failure one line
 * and status 1.
 */
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

static const char usage[] =
	"Usage: percpu COMMAND [OPTION]... [PID|NAME]\n"
	"Shows statistics that programs publish with libpercpu, of one process or pool, or of "
	"all.\n"
	"\n"
	"  list    who publishes\n"
	"  show    values, once\n"
	"  top     values, rates and how they spread over CPUs, again and again\n"
	"  export  values in the Prometheus text format\n"
	"\n"
	"  topo      this machine as the library sees it: CPUs, nodes, mode, what is placed where\n"
	"  selftest  whether this kernel aborts critical sections, in a second or two\n"
	"\n"
	"  --by KIND           show, export: tell apart by cpu, core, l3, node or package\n"
	"  --json              list, show, topo: as JSON\n"
	"  --listen ADDRESS    export: by HTTP, at PORT of loopback, ADDRESS:PORT or "
	"[ADDRESS]:PORT\n"
	"  --host NAME,...     export: answer where it is called by these names, too\n"
	"  --interval SECONDS  top: how often (1)\n"
	"  --sort COLUMN       top: name, value, rate or skew (rate)\n"
	"  --help, --version\n"
	"\n"
	"Status: 0; 1 where nothing was found or something failed; 2 for a mistake in the command "
	"line.\n";

/* ---- commands, and the options that they know ---- */

enum knob { BY = 1, JSON = 2, LISTEN = 4, INTERVAL = 8, SORT = 16, HOST = 32 };

static const struct option long_options[] = {
	{ "by", required_argument, NULL, BY },
	{ "json", no_argument, NULL, JSON },
	{ "listen", required_argument, NULL, LISTEN },
	{ "host", required_argument, NULL, HOST },
	{ "interval", required_argument, NULL, INTERVAL },
	{ "sort", required_argument, NULL, SORT },
	{ NULL, 0, NULL, 0 },
};

static const struct command {
	const char *name;
	int (*run)(const struct options *options);
	unsigned knobs;
	bool is_of_machine; /* takes no process */
} commands[] = {
	{ "list", command_list, JSON, false },
	{ "show", command_show, BY | JSON, false },
	{ "export", command_export, BY | LISTEN | HOST, false },
	{ "top", command_top, INTERVAL | SORT, false },
	{ "topo", command_topo, JSON, true },
	{ "selftest", command_selftest, 0, true },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static const char *knob_name(int knob)
{
	size_t i = 0;

	while (long_options[i].val != knob)
		i++;
	return long_options[i].name;
}

static int read_interval(const char *text, struct options *options)
{
	char *end;

	options->interval = strtod(text, &end);
	if (end == text || *end || !(options->interval >= 0.1 && options->interval <= 3600))
		return complain_of_usage("--interval takes 0.1 to 3600 seconds, not \"%s\"", text);
	return STATUS_OK;
}

static int set_knob(int knob, const char *value, struct options *options)
{
	switch (knob) {
	case BY:
		options->by = value;
		return domain_is_known(value)
			       ? STATUS_OK
			       : complain_of_usage(
					 "--by takes cpu, core, l3, node or package, not \"%s\"",
					 value);
	case JSON:
		options->json = true;
		return STATUS_OK;
	case LISTEN:
		options->listen = value;
		return STATUS_OK;
	case HOST:
		options->hosts = value;
		return STATUS_OK;
	case INTERVAL:
		return read_interval(value, options);
	default:
		options->sort = value;
		return top_sort_is_known(value)
			       ? STATUS_OK
			       : complain_of_usage(
					 "--sort takes name, value, rate or skew, not \"%s\"",
					 value);
	}
}

/* argv[0] is the command. */
static int read_options(const struct command *command, int argc, char **argv,
			struct options *options)
{
	int knob, status = STATUS_OK;

	opterr = 0;
	while (!status && (knob = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		const char *given = argv[optind - 1];

		if (knob == ':')
			status = complain_of_usage("option '%s' requires an argument", given);
		else if (knob == '?')
			status = complain_of_usage("there is no option %s", given);
		else if (!(command->knobs & knob))
			status = complain_of_usage("%s has no option --%s", command->name,
						   knob_name(knob));
		else
			status = set_knob(knob, optarg, options);
	}
	if (!status && argc > optind && command->is_of_machine)
		status = complain_of_usage("%s takes no process and no name", command->name);
	if (!status && argc - optind > 1)
		status = complain_of_usage("one process or name at a time, not \"%s\" too",
					   argv[optind + 1]);
	if (!status && argc > optind)
		options->target = argv[optind];
	return status;
}

/* Output that cannot be written is a failure, whatever the command returned. */
static int finish(int status)
{
	return fflush(stdout) || ferror(stdout) ? complain("cannot write the output") : status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct options options = { .interval = 1 };
	int status = read_options(command, argc, argv, &options);

	if (!status)
		status = command->run(&options);
	return finish(status);
}

int main(int argc, char **argv)
{
	const struct command *command;

	setlocale(LC_CTYPE, "");
	if (argc < 2)
		return complain_of_usage("missing command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return finish(fputs(usage, stdout) < 0);
	if (!strcmp(argv[1], "--version"))
		return finish(printf("percpu of libpercpu %s\n", PACKAGE_VERSION) < 0);
	command = find_command(argv[1]);
	if (!command)
		return complain_of_usage("there is no command \"%s\"", argv[1]);
	return run(command, argc - 1, argv + 1);
}
