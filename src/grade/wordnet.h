/*
 * wordnet.h - a word's synonyms: the single words in every synset (a group of words with one meaning) that it is in.
 *
 * WordNet: G. A. Miller, "WordNet: a lexical database for English", CACM 38 (1995). The files are those of a WordNet
 * release, version 3.0 in Debian's wordnet-base; their forms stand in wndb(5WN):
 *
 *     index.noun   a lemma and where its synsets begin in data.noun: "dog n 7 5 @ ~ #m #p %p 7 1 02084071 ..."
 *     data.noun    a synset: its own place, then its words: "02084071 05 n 03 dog 0 domestic_dog 0 ..."
 *     noun.exc     an irregular form and its bases: "geese goose"
 *
 * and the same for verb, adj and adv: twelve files, 28 MB, most of it definitions. They are read once, at opening, which
 * takes 0.1 s, into 7 MB: one pool of records and a hash table of where they begin. All that is needed of them is checked
 * then, so that a look-up cannot fail, and files that change or go later change nothing.
 *
 * The synsets of a word are those that nltk 3.9.1's WordNetCorpusReader.synsets finds by its _morphy: for each part of
 * speech those of the lemma that the word is, and those of its bases. These are what the list of irregular forms says or,
 * only where the word is not in there, what one change of an ending gives ("boxes" is of "box"; "boxe" is no lemma).
 */
#ifndef HONE_GRADE_WORDNET_H
#define HONE_GRADE_WORDNET_H

#include "base/error.h"
#include "base/str.h"

struct wordnet;

/*
 * Reads the files in folder; NULL: the first of the usual folders that has an index.noun. ERR_UNSUPPORTED, which says what
 * to install, where there is no WordNet; ERR_CORRUPT, which names file and line, for what is no WordNet, also a synset
 * that no word leads to: an index that was cut short; ERR_IO and ERR_LIMIT.
 */
MUST_CHECK bool wordnet_open(const char *folder, struct wordnet **out, struct error *err);
void wordnet_close(struct wordnet *w); /* NULL is fine */

/*
 * The process's own, opened at the first call from the usual folders and never closed. Any thread; two that come first at
 * once may both read, and one copy stays. A failure is not kept: the next call tries again.
 */
MUST_CHECK bool wordnet_shared(const struct wordnet **out, struct error *err);

/*
 * Gives put each synonym of a word in lower case, in no order, the word's lemma among them, and what is in several synsets
 * several times. They are ASCII, at least one character, with the letter case of the files ("Paris"); names of several
 * words, joined by '_', are left out. Nothing for a word that WordNet does not know. Any number of threads at once.
 */
typedef void wordnet_name_fn(void *to, struct str name);
void wordnet_synonyms(const struct wordnet *w, struct str word, wordnet_name_fn *put, void *to);
#endif
