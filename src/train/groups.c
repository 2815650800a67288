/*
 * groups.c - rewards, advantages and what is trained on, group by group.
 */
#include "train/groups.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void groups_take(const struct recipe *recipe, const struct answers *x, struct groups *g,
                 struct saved_pool *save, struct arena *a)
{
    const size_t size = x->n_samples;

    for (size_t i = 0; i < x->n_rows; i++) {
        struct group *new = &g->all[g->n++];

        *new = (struct group){.row = i,
                              .x = x,
                              .reward = ARENA_ARRAY(a, float, size),
                              .advantage = ARENA_ARRAY(a, float, size)};
        for (size_t s = 0; s < size; s++)
            new->reward[s] = (float)x->slots[i * size + s].grade.reward;
        new->kept = advantage_group_is_kept(&recipe->advantage, size, new->reward);
        g->n_kept += new->kept;
        if (!new->kept)
            answers_forget(x, i, save);
    }
}

static bool is_masked(const struct recipe *recipe, const struct step_metrics *m,
                      const struct sample *s)
{
    return s->end == SAMPLE_CANCELLED || /* a tool did not answer */
           (s->end == SAMPLE_LENGTH && m->truncated_share < recipe->mask_truncated_below);
}

static void measure_tools(const struct answer_slot *slot, struct step_metrics *m)
{
    const struct episode *ep = &slot->episode;

    m->n_tool_calls += ep->n_calls;
    m->n_tool_refused += ep->n_refused;
    m->n_tool_tokens += slot->sample->n_given;
    m->tool_seconds += ep->seconds;
    if (ep->lost != NULL && m->n_tool_lost++ == 0)
        snprintf(m->tool_failure, sizeof m->tool_failure, "%s", ep->lost);
}

void groups_measure(const struct groups *g, struct grader *grader, struct step_metrics *m)
{
    const size_t size = g->n > 0 ? g->all[0].x->n_samples : 0;
    double sum = 0, squares = 0, entropy = 0, drawn = 0, n_counted[GRADE_MAX_PARTS] = {0};

    m->n_groups = g->n;
    m->n_samples = g->n * size;
    m->n_flat_groups = g->n - g->n_kept;
    for (size_t i = 0; i < g->n; i++) {
        const struct group *group = &g->all[i];
        double of_group = 0;

        for (size_t s = 0; s < size; s++) {
            const struct answer_slot *slot = &group->x->slots[group->row * size + s];

            of_group += (double)group->reward[s];
            squares += (double)group->reward[s] * (double)group->reward[s];
            entropy += (double)slot->sample->entropy_sum;
            drawn += (double)slot->sample->n_drawn;
            m->completion_tokens_mean += (double)(slot->sample->n - slot->sample->n_given);
            m->reasoning_tokens_mean +=
                (double)(slot->sample->n_thinking_before + slot->sample->n_thinking);
            measure_tools(slot, m);
            m->truncated_share += slot->sample->end == SAMPLE_LENGTH;
            for (size_t b = 0; b < 16; b++)
                m->grader_errors[b] += slot->grade.flags >> b & 1u;
            if (grade_grader_failed(&slot->grade) && m->n_grader_failed++ == 0)
                memcpy(m->grader_failure, slot->grade.details, sizeof m->grader_failure);
            for (size_t k = 0; k < slot->grade.n_parts; k++) {
                const bool counts =
                    !grader_is_shadow(grader, k) || grade_part_measured(&slot->grade, k);

                m->grader_train_mean[k] += counts ? slot->grade.part[k] : 0;
                n_counted[k] += counts;
                m->grader_seconds_mean[k] += slot->grade.part_seconds[k];
            }
        }
        m->n_groups_all_zero += !group->kept && of_group == 0;
        m->n_groups_all_one += !group->kept && of_group >= (double)size * (1 - 1e-9);
        sum += of_group;
    }
    const double n = (double)m->n_samples;
    m->train_mean_reward = sum / n;
    m->reward_std = sqrt(fmax(0, squares / n - m->train_mean_reward * m->train_mean_reward));
    m->entropy = drawn > 0 ? entropy / drawn : 0;
    m->tokens_sampled = (size_t)m->completion_tokens_mean;
    m->completion_tokens_mean /= n;
    m->reasoning_tokens_mean /= n;
    m->truncated_share /= n;
    m->n_graders = grader_count(grader);
    for (size_t k = 0; k < m->n_graders; k++) {
        m->grader_train_mean[k] /= n_counted[k]; /* 0 / 0: nothing was measured */
        m->grader_seconds_mean[k] /= n;
    }
}

bool groups_weigh(const struct recipe *recipe, struct groups *g, struct error *err)
{
    if (g->n == 0)
        return true;
    const size_t size = g->all[0].x->n_samples;
    float *reward = malloc(g->n * size * sizeof *reward),
          *advantage = malloc(g->n * size * sizeof *advantage);
    bool *kept = malloc(g->n);

    if (reward == NULL || advantage == NULL || kept == NULL)
        abort();
    for (size_t i = 0; i < g->n; i++) {
        memcpy(reward + i * size, g->all[i].reward, size * sizeof *reward);
        kept[i] = g->all[i].kept;
    }
    const bool ok =
        advantage_of_groups(&recipe->advantage, g->n, size, reward, kept, advantage, err);
    for (size_t i = 0; ok && i < g->n; i++)
        memcpy(g->all[i].advantage, advantage + i * size, size * sizeof *advantage);
    free(reward);
    free(advantage);
    free(kept);
    return ok;
}

bool groups_tell(const struct recipe *recipe, const struct groups *g, const struct dataset *d,
                 const struct step_metrics *m, const struct progress_sink *sink, struct error *err)
{

    if (sink == NULL || sink->rollout == NULL)
        return true;
    for (size_t i = 0; i < g->n; i++) {
        for (size_t s = 0; s < g->all[i].x->n_samples; s++) {
            const struct group *group = &g->all[i];
            struct rollout r = answers_rollout(group->x, d, group->row, s);

            r.step = m->step;
            r.advantage = group->advantage[s];
            r.trained =
                group->kept &&
                !is_masked(recipe, m, group->x->slots[group->row * group->x->n_samples + s].sample);
            if (!sink->rollout(sink->ctx, &r, err))
                return false;
        }
    }
    return true;
}

/* Takes out of mass what is a whole draw or more of what is left; says how many draws remain. */
static size_t take_whole(size_t n, double *mass, double *left, size_t draws)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t s = 0; s < n; s++) {
            if (draws <= 1 || mass[s] <= 0 || mass[s] * (double)draws < *left * (1 - 1e-12))
                continue;
            *left -= mass[s];
            mass[s] = 0;
            draws--;
            again = true; /* the others' shares have grown */
        }
    }
    return draws;
}

/*
 * Most answers of a hard group are wrong, each in its own way, and each tells little. Where more than max_negatives
 * different ones are below average, that many stand for all (down-sampling of rollouts: arXiv:2504.13818): each is taken
 * with a probability p in proportion to its share of the negative weight, by one systematic draw, and weighs 1 / p; what
 * would be taken more than once is taken once, for sure. The expected gradient is the same. weight[s] is 0 for those left
 * out.
 */
static void thin_negatives(const struct recipe *recipe, const struct group *g,
                           const struct step_metrics *m, float *weight, struct arena *a)
{
    const size_t size = g->x->n_samples;
    const struct answer_slot *slots = g->x->slots + g->row * size;
    double *mass = ARENA_ARRAY(a, double, size), left = 0; /* of the first of those alike */
    size_t n = 0;

    for (size_t s = 0; s < size; s++) {
        weight[s] = 1;
        if (g->advantage[s] < 0) {
            n += slots[s].alike[0] == s;
            mass[slots[s].alike[0]] -= (double)g->advantage[s];
            left -= (double)g->advantage[s];
        }
    }
    if (recipe->max_negatives == 0 || n <= recipe->max_negatives)
        return;
    const size_t draws = take_whole(size, mass, &left, recipe->max_negatives);
    double at = (double)philox_uniform(recipe->seed ^ m->step, PHILOX_SUBSET,
                                       (uint32_t)g->x->items[g->row], 0, 0, 0);
    for (size_t s = 0; s < size; s++) {
        if (mass[s] <= 0)
            continue;
        const double p = mass[s] * (double)draws / left;

        at += p;
        weight[s] = at >= 1 ? (float)(1 / p) : 0;
        at -= at >= 1;
    }
    for (size_t s = 0; s < size; s++)
        if (g->advantage[s] < 0)
            weight[s] = weight[slots[s].alike[0]];
}

/* Answers without an advantage cost nothing. */
struct trained_groups groups_trained(const struct recipe *recipe, const struct groups *g,
                                     const struct step_metrics *m, struct arena *a)
{
    const size_t size = g->n > 0 ? g->all[0].x->n_samples : 0;
    struct trained_groups out = {.all = ARENA_ARRAY(a, struct tree_group, g->n),
                                 .from = ARENA_ARRAY(a, const struct group *, g->n)};

    for (size_t i = 0; i < g->n; i++) {
        const struct group *group = &g->all[i];
        const struct prompt *prompt = &group->x->prompts[group->row];
        struct tree_answer *answers = ARENA_ARRAY(a, struct tree_answer, size);
        float *weight = ARENA_ARRAY(a, float, size);
        size_t k = 0;

        if (group->kept)
            thin_negatives(recipe, group, m, weight, a);
        for (size_t s = 0; s < size && group->kept; s++) {
            const struct sample *x = group->x->slots[group->row * size + s].sample;

            if (is_masked(recipe, m, x))
                continue;
            out.n_tokens += (double)x->n_drawn;
            if (group->advantage[s] * weight[s] != 0)
                answers[k++] = (struct tree_answer){.tokens = x->tokens,
                                                    .logprobs = x->logprobs,
                                                    .masked = x->injected,
                                                    .n = x->n,
                                                    .coefficient = group->advantage[s] * weight[s],
                                                    .rows = x->rows};
        }
        if (k == 0)
            continue;
        out.from[out.n] = group;
        out.all[out.n++] = (struct tree_group){
            .prompt = prompt->tokens,
            .n_prompt = prompt->n,
            .answers = answers,
            .n_answers = k,
            .rules = group->x->rules != NULL ? &group->x->rules[group->row] : NULL,
            .prompt_rows =
                group->x->prompt_rows != NULL ? group->x->prompt_rows[group->row] : NULL};
    }
    if (out.n > 0) {
        struct tree_group *one = &out.all[m->step % out.n];

        one->anew = &one->answers[m->step % one->n_answers];
    }
    return out;
}
