/* SPDX-License-Identifier: MIT */
/*
 * Owns the screen of percpu top:
 *
 *	percpu top: pools 2, metrics 12, every 1 s, by rate
 *	    PID NAME                                        VALUE    RATE/s  SKEW CPUS
 *	   1234 http_requests{method="GET"}                1.234M     12345   1.2 ▆█▇▅
 *
 * Where it is wide, the pool's name is a column, too. No line is ever longer than
 * the screen is wide.
 */
#include "tool/top.h"

#ifdef HAVE_NCURSES
#include <curses.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define PID_COLUMNS 7
#define VALUE_COLUMNS 10
#define SKEW_COLUMNS 5
#define POOL_COLUMNS 20
#define WIDE_COLUMNS 120 /* from here on with the pool's name */
#define NAME_COLUMNS_MIN 12
#define EMPTY_MAX 3u /* looks at an input that is there and has no key */

struct screen {
	struct options options;
	struct sample sample, earlier;
	size_t first; /* row shown on top */
	bool is_paused, is_over;
};

/* ---- text ---- */

/*
 * In so many columns, cut with a mark where it is longer; nothing where the screen
 * has not that many.
 */
static void put_text(int y, int x, int columns, const char *text)
{
	mbstate_t state = { 0 };
	int used = 0;

	if (x + columns > COLS)
		return;
	while (*text && used < columns) {
		wchar_t wide[2] = { 0 };
		size_t bytes = mbrtowc(wide, text, strlen(text), &state);
		int width;

		if (bytes == (size_t)-1 || bytes == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			bytes = 1;
			wide[0] = L'?';
		}
		width = wcwidth(wide[0]);
		if (width < 0)
			wide[0] = L'?', width = 1;
		if (used + width > columns || (used + width == columns && text[bytes])) {
			mvaddwstr(y, x + used, L">");
			return;
		}
		mvaddnwstr(y, x + used, wide, 1);
		used += width;
		text += bytes;
	}
}

static void put_right(int y, int x, int columns, const char *text)
{
	const int length = strlen(text), blank = length < columns ? columns - length : 0;

	put_text(y, x + blank, columns - blank, text);
}

/* Five digits at most, and what they count. */
static void put_number(int y, int x, int columns, double value)
{
	static const char units[] = "kMGTPE";
	char text[32];
	int unit = -1;

	if (fabs(value) < 99999.5 && (value == rint(value) || fabs(value) >= 1000)) {
		snprintf(text, sizeof(text), "%.0f", value);
	} else if (fabs(value) < 99999.5) {
		snprintf(text, sizeof(text), "%.4g", value);
	} else {
		while (fabs(value) >= 999.95 && units[unit + 1])
			value /= 1000, unit++;
		snprintf(text, sizeof(text), fabs(value) < 1e6 ? "%.4g%c" : "%.3e%c", value,
			 units[unit]);
	}
	put_right(y, x, columns, text);
}

/* ---- bars: a sign for each CPU, or for several ---- */

static bool has_blocks(void)
{
	char text[MB_LEN_MAX];
	mbstate_t state = { 0 };

	return wcrtomb(text, L'\u2588', &state) != (size_t)-1;
}

static wchar_t level(double share)
{
	static const wchar_t blocks[] = L" \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588",
			     plain[] = L" .:-=+*%#";
	const int at = share <= 0 ? 0 : 1 + (int)(share * 7.999);

	return (has_blocks() ? blocks : plain)[at > 8 ? 8 : at];
}

/* The busiest of the CPUs that one of so many signs stands for. */
static double part(const struct row *row, int sign, int nr_signs)
{
	double most = 0;

	for (unsigned cpu = (uint64_t)sign * row->nr_cpus / nr_signs;
	     cpu < (uint64_t)(sign + 1) * row->nr_cpus / nr_signs; cpu++)
		most = fmax(most, fabs(row->rates[cpu]));
	return most;
}

static void put_bars(int y, int x, int columns, const struct row *row)
{
	const int nr_signs = row->nr_cpus < (unsigned)columns ? (int)row->nr_cpus : columns;
	const double most = part(row, 0, 1);

	for (int i = 0; i < nr_signs && most > 0; i++) {
		const wchar_t sign = level(part(row, i, nr_signs) / most);

		mvaddnwstr(y, x + i, &sign, 1);
	}
}

/* ---- the whole ---- */

/* Where columns begin on a screen of that width; bars have what the name leaves. */
struct layout {
	int pool, name, value, rate, skew, bars, end;
	int name_columns;
};

static struct layout lay_out(const struct sample *sample)
{
	struct layout at = { .end = COLS };
	const int fixed = 2 * VALUE_COLUMNS + SKEW_COLUMNS + 4;
	int room, bars = 4;

	for (size_t i = 0; i < sample->nr; i++)
		bars = (int)sample->row[i].nr_cpus > bars ? (int)sample->row[i].nr_cpus : bars;
	at.pool = PID_COLUMNS + 1;
	at.name = at.pool + (COLS >= WIDE_COLUMNS ? POOL_COLUMNS + 1 : 0);
	room = COLS - at.name - fixed;
	if (bars > room / 2)
		bars = room / 2 > 4 ? room / 2 : 4;
	at.name_columns = room - bars > NAME_COLUMNS_MIN ? room - bars : NAME_COLUMNS_MIN;
	at.value = at.name + at.name_columns + 1;
	at.rate = at.value + VALUE_COLUMNS + 1;
	at.skew = at.rate + VALUE_COLUMNS + 1;
	at.bars = at.skew + SKEW_COLUMNS + 1;
	return at;
}

static void put_head(const struct layout *at, const struct screen *screen)
{
	const struct sample *sample = &screen->sample;
	char text[256];

	snprintf(text, sizeof(text), "percpu top: pools %zu, metrics %zu, every %g s, by %s%s",
		 sample->nr_pools, sample->nr, screen->options.interval, screen->options.sort,
		 screen->is_paused ? ", paused" : "");
	put_text(0, 0, COLS, *complaint() ? complaint() : text);
	attron(A_REVERSE);
	mvhline(1, 0, ' ', COLS);
	put_right(1, 0, PID_COLUMNS, "PID");
	if (at->name > at->pool)
		put_text(1, at->pool, POOL_COLUMNS, "POOL");
	put_text(1, at->name, at->name_columns, "NAME");
	put_right(1, at->value, VALUE_COLUMNS, "VALUE");
	put_right(1, at->rate, VALUE_COLUMNS, "RATE/s");
	put_right(1, at->skew, SKEW_COLUMNS, "SKEW");
	put_text(1, at->bars, at->end - at->bars, "CPUS");
	attroff(A_REVERSE);
}

static void put_row(const struct layout *at, int y, const struct row *row)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", row->pid);
	put_right(y, 0, PID_COLUMNS, text);
	if (at->name > at->pool)
		put_text(y, at->pool, POOL_COLUMNS, row->pool);
	put_text(y, at->name, at->name_columns, row->name);
	put_number(y, at->value, VALUE_COLUMNS, row->value);
	if (!row->has_rate)
		return;
	put_number(y, at->rate, VALUE_COLUMNS, row->rate);
	if (row->skew) {
		snprintf(text, sizeof(text), "%.1f", row->skew);
		put_right(y, at->skew, SKEW_COLUMNS, text);
	}
	put_bars(y, at->bars, at->end - at->bars, row);
}

static size_t rows_shown(void)
{
	return LINES > 2 ? LINES - 2 : 0;
}

static void draw(struct screen *screen)
{
	const struct row **sorted = sample_sorted(&screen->sample, screen->options.sort);
	const struct layout at = lay_out(&screen->sample);
	const size_t last = screen->sample.nr > rows_shown() ? screen->sample.nr - rows_shown() : 0;

	if (screen->first > last)
		screen->first = last;
	erase();
	put_head(&at, screen);
	for (size_t i = 0; i < rows_shown() && screen->first + i < screen->sample.nr; i++)
		put_row(&at, 2 + i, sorted[screen->first + i]);
	if (!screen->sample.nr)
		put_text(3, 2, COLS - 2, "Nothing is published that you may look into.");
	refresh();
	free(sorted);
}

static void scroll_by(struct screen *screen, long rows)
{
	screen->first = rows < 0 && (size_t)-rows > screen->first ? 0 : screen->first + rows;
}

static void set_interval(struct screen *screen, double interval)
{
	if (interval >= 0.1 && interval <= 3600)
		screen->options.interval = interval;
}

static void obey(struct screen *screen, int key)
{
	switch (key) {
	case 'q': screen->is_over = true; break;
	case 'n': screen->options.sort = "name"; break;
	case 'v': screen->options.sort = "value"; break;
	case 'r': screen->options.sort = "rate"; break;
	case 's': screen->options.sort = "skew"; break;
	case 'p': screen->is_paused = !screen->is_paused; break;
	case '+': set_interval(screen, screen->options.interval * 2); break;
	case '-': set_interval(screen, screen->options.interval / 2); break;
	case KEY_UP: scroll_by(screen, -1); break;
	case KEY_DOWN: scroll_by(screen, 1); break;
	case KEY_PPAGE: scroll_by(screen, -(long)rows_shown()); break;
	case KEY_NPAGE: scroll_by(screen, rows_shown()); break;
	case KEY_HOME: screen->first = 0; break;
	case KEY_END: screen->first = screen->sample.nr; break;
	}
}

static void look_again(struct screen *screen)
{
	complaint_clear();
	sample_free(&screen->earlier);
	screen->earlier = screen->sample;
	sample_take(&screen->sample, &screen->earlier, &screen->options);
}

enum input { INPUT_NONE, INPUT_THERE, INPUT_GONE };

/* ms: how long to wait for some; -1: however long. */
static enum input wait_for_input(int ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	if (poll(&input, 1, ms) <= 0)
		return INPUT_NONE;
	return input.revents & (POLLHUP | POLLERR | POLLNVAL) ? INPUT_GONE : INPUT_THERE;
}

/*
 * Obeys keys until it is time to look again. Input that is there and has no key, again and again,
 * is at its end.
 */
static void wait_for_keys(struct screen *screen)
{
	const double due = screen->sample.time + screen->options.interval;
	enum input input = INPUT_NONE;
	unsigned nr_empty = 0;

	timeout(0);
	while (!screen->is_over) {
		const double left = due - seconds_now();
		const int key = getch();

		if (key != ERR) {
			nr_empty = 0;
			obey(screen, key);
			draw(screen);
			continue;
		}
		nr_empty = input == INPUT_THERE ? nr_empty + 1 : 0;
		if (input == INPUT_GONE || nr_empty == EMPTY_MAX)
			screen->is_over = true;
		else if (left <= 0 && !screen->is_paused)
			return;
		else
			input = wait_for_input(screen->is_paused ? -1 : (int)(left * 1000) + 1);
	}
}

int command_top(const struct options *options)
{
	struct screen screen = { .options = *options };
	int status;

	if (!screen.options.sort)
		screen.options.sort = "rate";
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return complain("top wants a terminal; percpu show says the same once");
	status = sample_take(&screen.sample, NULL, options);
	if (status)
		return status;
	if (!newterm(NULL, stdout, stdin))
		return complain("this terminal is not one that ncurses knows");
	complaint_keep(true);
	cbreak();
	noecho();
	keypad(stdscr, true);
	curs_set(0);
	while (!screen.is_over) {
		draw(&screen);
		wait_for_keys(&screen);
		if (!screen.is_over)
			look_again(&screen);
	}
	endwin();
	complaint_keep(false);
	sample_free(&screen.sample);
	sample_free(&screen.earlier);
	return STATUS_OK;
}
#else
int command_top(const struct options *options)
{
	return complain("built without ncurses, so there is no top");
}
#endif
