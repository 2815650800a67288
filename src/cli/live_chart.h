/*
 * live_chart.h - curves of characters: two by four dots in each.
 */
#ifndef HONE_CLI_LIVE_CHART_H
#define HONE_CLI_LIVE_CHART_H

#include "cli/live_view.h"

/* The reward over the steps 0..total, training as a line and validation as points; rows lines of columns columns. */
void live_chart(const struct live_view *v, int columns, int rows, const struct live_frame *frame,
                struct buf *out);
/* The newest values of one member of the points as bars of eight heights, at most columns of them; returns how many. */
int live_spark(const struct live_view *v, size_t member, int columns, bool ascii, struct buf *out);
#endif
