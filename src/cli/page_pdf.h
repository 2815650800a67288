/*
 * page_pdf.h - a page of ours becomes a PDF, printed by whichever browser there is.
 *
 * The browser runs without a window, in a profile of its own that is gone afterwards, finds no host by any name, and has two minutes. It
 * is the user's own program; hone neither brings nor fetches one.
 */
#ifndef HONE_CLI_PAGE_PDF_H
#define HONE_CLI_PAGE_PDF_H

#include "base/error.h"

#include <stdatomic.h>

/*
 * Writes pdf, which is there whole or not at all. Fails with ERR_UNSUPPORTED where no browser is found (names looked for: those of
 * Chromium, Chrome and Edge, in PATH), ERR_TIMEOUT, ERR_CANCELLED once *stop is set, ERR_IO where the browser prints nothing.
 */
MUST_CHECK bool page_pdf(const char *page, const char *pdf, const atomic_bool *stop,
                         struct error *err);
#endif
