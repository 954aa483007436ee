/* Dice, as a native plugin in C.
 *
 *     cc -shared -fPIC -I ../chathost-abi/include -o ../libdice.so dice.c
 *
 * dice.diceHandler.throw   { "sides": 6 } -> { "value": 4 }, and the room hears "onThrow"
 * dice.diceHandler.oracle  {} -> { "answer": … }, thought about on a thread of its own
 *
 * plugins/README.md explains what is what. */

#include "chathost.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THROW, ORACLE };

struct dice {
    const chathost_host *host;
    unsigned int seed;
};

/* --- throw: answers at once ------------------------------------------------------------------------------------- */

/* The number behind "sides", or 0. A plugin with larger messages brings a JSON library. */
static unsigned long sides_in(chathost_bytes body)
{
    char text[64];
    const char *sides;
    if (body.len >= sizeof text)
        return 0;
    memcpy(text, body.data, body.len);
    text[body.len] = '\0';
    sides = strstr(text, "\"sides\":");
    return sides ? strtoul(sides + strlen("\"sides\":"), NULL, 10) : 0;
}

struct text {
    char data[256];
    size_t len;
};

/* Called before session_get returns: the bytes are the host's, so they are copied. */
static void keep(void *context, int64_t code, chathost_bytes result)
{
    struct text *text = context;
    if (code == CHATHOST_OK && result.len < sizeof text->data) {
        memcpy(text->data, result.data, result.len);
        text->len = result.len;
    }
}

static void push_to_room(const chathost_host *host, uint64_t session, const char *json)
{
    struct text rid = { .len = 0 };
    chathost_done into_rid = { &rid, keep }, nobody_asks = { NULL, NULL };
    host->session_get(host, session, chathost_text("rid"), into_rid);
    if (rid.len <= 2) /* nothing, or an empty string in its quotes */
        return;
    chathost_push push = {
        .header = chathost_header_of(sizeof push),
        .route = chathost_text("onThrow"),
        .body = chathost_text(json),
        .channel = { (const uint8_t *)rid.data + 1, rid.len - 2 },
    };
    host->push(host, &push, nobody_asks);
}

static void throw_dice(struct dice *dice, const chathost_call *call)
{
    const chathost_host *host = dice->host;
    unsigned long sides = sides_in(call->body);
    char json[64];
    if (sides < 2) {
        host->complete(host, call->id, 400, chathost_text("a die has at least two sides"));
        return;
    }
    dice->seed = dice->seed * 1103515245u + 12345u;
    snprintf(json, sizeof json, "{\"value\":%lu}", (dice->seed >> 16) % sides + 1);
    push_to_room(host, call->session, json);
    host->complete(host, call->id, CHATHOST_OK, chathost_text(json));
}

/* --- oracle: answers from another thread ------------------------------------------------------------------------- */

struct question {
    const chathost_host *host;
    uint64_t call;
};

static void *think(void *argument)
{
    struct question *question = argument;
    unsigned long answer = 0;
    for (unsigned long step = 0; step < 10000000; step++)
        answer = (answer + step) % 43;
    char json[64];
    snprintf(json, sizeof json, "{\"answer\":%lu}", answer);
    /* From any thread. Should the client be gone by now, nothing happens. */
    while (question->host->complete(question->host, question->call, CHATHOST_OK, chathost_text(json)) != 0)
        continue;
    free(question);
    return NULL;
}

static void ask_oracle(struct dice *dice, const chathost_call *call)
{
    pthread_t thread;
    struct question *question = malloc(sizeof *question);
    if (question) {
        *question = (struct question){ dice->host, call->id };
        if (pthread_create(&thread, NULL, think, question) == 0) {
            pthread_detach(thread);
            return;
        }
        free(question);
    }
    dice->host->complete(dice->host, call->id, -500, chathost_text("no thread for the oracle"));
}

/* --- the plugin -------------------------------------------------------------------------------------------------- */

static void *create(const chathost_host *host, chathost_done refused)
{
    struct dice *dice = malloc(sizeof *dice);
    if (!dice) {
        refused.call(refused.context, CHATHOST_CODE_FAILED, chathost_text("no memory"));
        return NULL;
    }
    *dice = (struct dice){ host, 1 };
    host->declare(host, CHATHOST_KIND_HANDLER, chathost_text("diceHandler.throw"), 0, THROW);
    host->declare(host, CHATHOST_KIND_HANDLER, chathost_text("diceHandler.oracle"), CHATHOST_FLAG_CONCURRENT, ORACLE);
    return dice;
}

static void destroy(void *dice)
{
    free(dice);
}

static void call(void *dice, const chathost_call *call)
{
    if (call->method == THROW)
        throw_dice(dice, call);
    else
        ask_oracle(dice, call);
}

const chathost_plugin chathost_plugin_entry = {
    .header = { CHATHOST_ABI_VERSION, sizeof(chathost_plugin) },
    .name = "dice",
    .create = create,
    .destroy = destroy,
    .call = call,
};
