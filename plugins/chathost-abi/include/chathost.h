/* chathost: what a server and a native plugin say to each other.
 *
 * Generated from plugins/chathost-abi/src/lib.rs; do not edit. How to write a plugin: plugins/README.md.
 * Licence: MIT. */

#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* Threads: a server is one thread, which other servers may share, with instances of their own: what is an instance's
 * belongs into its state, not into thread-locals. [server-thread] functions are called on it only: by the host always, by
 * the plugin while the host is calling it. [any-thread] functions may be called from anywhere at any time, also after
 * the instance was destroyed; then they do nothing. Do not block the server's thread: everybody on it waits.
 *
 * Ownership: whoever allocates frees. Bytes belong to the caller and are valid until the call returns. The host's table
 * and the plugin's are valid for as long as the process lives. Texts are UTF-8, values are JSON. */

/*
 The version of this interface. A library with another one is refused.
 */
#define CHATHOST_ABI_VERSION 1

/*
 Answer codes. Others are up to the plugin: `404`, …
 */
#define CHATHOST_OK 0

/*
 A call between servers failed, or the host refused.
 */
#define CHATHOST_CODE_FAILED 500

/*
 There is no such server, session, function or name.
 */
#define CHATHOST_CODE_NOT_FOUND 404

/*
 The arguments cannot be understood.
 */
#define CHATHOST_CODE_BAD_REQUEST 400

/*
 The instance is being destroyed; nothing more comes.
 */
#define CHATHOST_CODE_GONE 410

/*
 Requests of one session to this handler may run beside each other, in any order.
 */
#define CHATHOST_FLAG_CONCURRENT 1

/*
 Levels of the log.
 */
#define CHATHOST_LEVEL_DEBUG 0

/*
 What happened.
 */
#define CHATHOST_LEVEL_INFO 1

/*
 Somebody misbehaved.
 */
#define CHATHOST_LEVEL_WARN 2

/*
 The operator should look.
 */
#define CHATHOST_LEVEL_ERROR 3

/*
 The result tells who was not reached: it waits until every frontend has said so. Not for `broadcast`.
 */
#define CHATHOST_PUSH_ACKNOWLEDGED 1

/*
 With `broadcast`: only to sessions that are bound to a uid.
 */
#define CHATHOST_PUSH_BINDED 2

/*
 What can be declared, and what a call of it brings and wants. Bodies and answers are JSON.
 */
enum chathost_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     `chatHandler.send` answers clients. Body: the message, as the client sent it. Answer: the response, or nothing for
     `{}`.
     */
    CHATHOST_KIND_HANDLER = 1,
    /*
     `chatRemote.add` answers other servers. Body: an array of arguments. Answer: an array of results.
     */
    CHATHOST_KIND_REMOTE = 2,
    /*
     `onUserLeave`, a name to hear events of sessions with (`session.on`). Body: the reason, a string. No answer.
     */
    CHATHOST_KIND_LISTENER = 3,
    /*
     In front of every message of a client, on its frontend. Body: the message; `route` is its route. Answer: nothing
     to let it pass, `{"msg": …}` to let it pass changed, `{"reply": …}` to answer it; an error ends it. The name is
     for the log. Several run in the order of declaration.
     */
    CHATHOST_KIND_GLOBAL_BEFORE = 4,
    /*
     Behind every answer to a client. Body: `{"msg": …, "reply": …}`. No answer. Several run in reverse.
     */
    CHATHOST_KIND_GLOBAL_AFTER = 5,
    /*
     Decides who may connect. Body: `[type, version]`. Answer: `true` or `false`.
     */
    CHATHOST_KIND_CHECK_CLIENT = 6,
    /*
     Sees every handshake. Body: `[message, address]`. Answer: what becomes `user` in the response, or nothing; an error
     refuses the client.
     */
    CHATHOST_KIND_HANDSHAKE = 7,
    /*
     Named after a server type, chooses the server that a call to this type goes to. Session: the session on whose
     behalf the call is made; without one, body: the value to choose by. Answer: a server's id, a string, before the
     call returns.
     */
    CHATHOST_KIND_ROUTE = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum chathost_kind chathost_kind;
#else
typedef uint32_t chathost_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 First in every table: what it is, and how much of it there is.
 */
typedef struct chathost_header {
    /*
     `ABI_VERSION`.
     */
    uint32_t abi_version;
    /*
     Bytes of the whole structure, header included.
     */
    uint32_t size;
} chathost_header;

/*
 Bytes that somebody else owns. Valid until the call that they are an argument of returns.
 */
typedef struct chathost_bytes {
    /*
     The first one. May be null if there are none.
     */
    const uint8_t *data;
    /*
     How many.
     */
    size_t len;
} chathost_bytes;

/*
 What is done with a result: the host calls `call(context, code, result)`.

 Exactly once, on the server's thread: either before the function that took it returns, or later, but at the latest
 before the instance is destroyed, then with `CODE_GONE`. With the code 0 the result is JSON (or empty where there is
 nothing to say), with any other a sentence about what went wrong. A null `call` means that nobody wants to know.
 */
typedef struct chathost_done {
    /*
     Handed to `call` as it is.
     */
    void *context;
    /*
     `[server-thread]`
     */
    void (*call)(void *context, int64_t code, struct chathost_bytes result);
} chathost_done;

/*
 What is pushed to clients, and to whom: exactly one of `channel`, `users` and `broadcast` is given.
 */
typedef struct chathost_push {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     `onChat`. 1 to 255 bytes.
     */
    struct chathost_bytes route;
    /*
     JSON. Sent as it is.
     */
    struct chathost_bytes body;
    /*
     To everybody in this channel.
     */
    struct chathost_bytes channel;
    /*
     To these: a JSON array of `{"uid": …, "sid": …}`, where `sid` is the id of the frontend.
     */
    struct chathost_bytes users;
    /*
     To every session of the frontends of this type.
     */
    struct chathost_bytes broadcast;
    /*
     Not to these: a JSON array of uids, or nothing. Not for `broadcast`.
     */
    struct chathost_bytes exclude;
    /*
     `PUSH_…`
     */
    uint32_t flags;
} chathost_push;

/*
 A call of another server's remote.
 */
typedef struct chathost_rpc {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     `chat`.
     */
    struct chathost_bytes server_type;
    /*
     `chatRemote.add`.
     */
    struct chathost_bytes method;
    /*
     A JSON array.
     */
    struct chathost_bytes args;
    /*
     The server's id; nothing if it is to be chosen by what follows.
     */
    struct chathost_bytes server_id;
    /*
     The session on whose behalf the call is made, or 0.
     */
    uint64_t session;
    /*
     Without a session, a JSON value to choose by.
     */
    struct chathost_bytes param;
} chathost_rpc;

/*
 What a server offers to an instance. Made by the host, read by the plugin.
 */
typedef struct chathost_host {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     Declares something that can be called, with the number that `Call::method` will have. Only while
     `Plugin::create` runs. What is wrong with it keeps the plugin from being loaded, with a line that says why.
     `kind`: a `Kind`. `flags`: `FLAG_…`. `[server-thread]`
     */
    void (*declare)(const struct chathost_host *host,
                    uint32_t kind,
                    struct chathost_bytes name,
                    uint32_t flags,
                    uint32_t method);
    /*
     Answers a call, once. With the code 0 the answer is JSON. A positive code is an error that is meant for whoever
     asked, and the answer its message: a client gets `{"code":…,"message":…}`. A negative one is an error that
     nobody meant: -500 is logged with the message, and a client gets `{"code":500}`. A call that is not answered in
     time gets a 504. Answering again, or too late, does nothing. Returns 0, or 1 if the server has too much to do:
     then the answer was not taken; try again. `[any-thread]`
     */
    uint32_t (*complete)(const struct chathost_host *host,
                         uint64_t call,
                         int64_t code,
                         struct chathost_bytes answer);
    /*
     Has `Plugin::wake` called with this token, soon. That is how a thread of the plugin's comes back to the server.
     Returns as `complete` does. `[any-thread]`
     */
    uint32_t (*wake)(const struct chathost_host *host, uint64_t token);
    /*
     Writes a line to the server's log. `level`: `LEVEL_…`. `[any-thread]`
     */
    void (*log)(const struct chathost_host *host, uint32_t level, struct chathost_bytes text);
    /*
     Everything else that a server can do, by name; `args` is a JSON array. `session` is for the names that say so, else
     0. The names are listed in `plugins/README.md`; they are Pomelo's, as Lua handlers know them. An unknown name
     is `CODE_NOT_FOUND`. `[server-thread]`
     */
    void (*ask)(const struct chathost_host *host,
                uint64_t session,
                struct chathost_bytes name,
                struct chathost_bytes args,
                struct chathost_done done);
    /*
     Pushes to clients. Whatever is pushed before a call is completed reaches a client before the answer does. Done
     before it returns, with no result; with `PUSH_ACKNOWLEDGED` when all frontends have answered, with an array of the
     uids that were not reached, or nothing if there are none. `[server-thread]`
     */
    void (*push)(const struct chathost_host *host, const struct chathost_push *push, struct chathost_done done);
    /*
     Calls another server. The result is an array of results; without `done` it is not waited for. `[server-thread]`
     */
    void (*rpc)(const struct chathost_host *host, const struct chathost_rpc *rpc, struct chathost_done done);
    /*
     Calls `Plugin::wake` with this token after so many milliseconds; with `repeat` not 0 again and again. A timer
     that is set while the plugin is created begins when it serves. One that repeats ends when another generation takes
     over; one that does not may fire still. Returns a handle, or 0 if there are too many. `[server-thread]`
     */
    uint64_t (*timer)(const struct chathost_host *host, uint64_t milliseconds, uint32_t repeat, uint64_t token);
    /*
     Ends a timer. One that has ended already is well. `[server-thread]`
     */
    void (*cancel)(const struct chathost_host *host, uint64_t timer);
    /*
     Whom a session is bound to: plain text; empty if it is not. Done before it returns. `[server-thread]`
     */
    void (*session_uid)(const struct chathost_host *host, uint64_t session, struct chathost_done done);
    /*
     A setting of a session; empty if there is none. Done before it returns. `[server-thread]`
     */
    void (*session_get)(const struct chathost_host *host,
                        uint64_t session,
                        struct chathost_bytes key,
                        struct chathost_done done);
    /*
     Changes a setting of this copy of the session; an empty value removes it. `session.push` makes it last.
     `[server-thread]`
     */
    void (*session_set)(const struct chathost_host *host,
                        uint64_t session,
                        struct chathost_bytes key,
                        struct chathost_bytes value);
    /*
     Another handle of a session, which is valid until it is released; 0 if there is no such session.
     `[server-thread]`
     */
    uint64_t (*session_hold)(const struct chathost_host *host, uint64_t session);
    /*
     Gives back a handle that `session_hold` or a result of `ask` gave. `[server-thread]`
     */
    void (*session_release)(const struct chathost_host *host, uint64_t session);
} chathost_host;

/*
 A call of something that the plugin declared. The structure and what it points to are valid until `Plugin::call`
 returns.
 */
typedef struct chathost_call {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     The number to answer with (`Host::complete`).
     */
    uint64_t id;
    /*
     The number that the plugin declared it with.
     */
    uint32_t method;
    /*
     1 if nobody waits for the answer. It has to be completed all the same.
     */
    uint32_t notify;
    /*
     A session, or 0. The handle is valid until the call is completed; `Host::session_hold` gives one that lasts.
     */
    uint64_t session;
    /*
     The route, as the client wrote it; empty where there is none.
     */
    struct chathost_bytes route;
    /*
     JSON, see `Kind`. A client's message may be something else: the client wrote it.
     */
    struct chathost_bytes body;
} chathost_call;

/*
 What a plugin is. A constant that the library exports as `chathost_plugin_entry`.
 */
typedef struct chathost_plugin {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     Its name, for people. Ends with a zero byte; may be null.
     */
    const char *name;
    /*
     Makes an instance, for one server, and declares what it answers. Returns what the other functions get as
     `instance`; null refuses, and `refused` then was called with a sentence that says why. It runs again for every
     server and every swap, in a server that may never begin to serve. `[server-thread]`
     */
    void *(*create)(const struct chathost_host *host, struct chathost_done refused);
    /*
     Ends an instance, once. Nothing of it is called afterwards. `[server-thread]`
     */
    void (*destroy)(void *instance);
    /*
     Calls something that was declared. The answer is given with `Host::complete`, before this returns or later.
     `[server-thread]`
     */
    void (*call)(void *instance, const struct chathost_call *call);
    /*
     `Host::wake` was called with this token, or a timer's time has come. May be null if neither is used.
     `[server-thread]`
     */
    void (*wake)(void *instance, uint64_t token);
    /*
     A table of functions that the plugin may have, by name; null if it does not. The table is valid as long as the
     instance. May be null itself. `[server-thread]`
     */
    const void *(*extension)(void *instance, struct chathost_bytes name);
} chathost_plugin;

/*
 The extension `chathost.state/1`: hands a value from one generation to the next.
 */
typedef struct chathost_state_extension {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     What the next generation should know: JSON, or nothing. `done` is called before it returns. `[server-thread]`
     */
    void (*export_state)(void *instance, struct chathost_done done);
    /*
     Takes what the generation before exported, Lua or native. An error keeps this one from serving. `done` is called
     before it returns. `[server-thread]`
     */
    void (*import_state)(void *instance, struct chathost_bytes state, struct chathost_done done);
} chathost_state_extension;

/*
 The extension `chathost.selftest/1`: a last word before it serves.
 */
typedef struct chathost_selftest_extension {
    /*
     What it is.
     */
    struct chathost_header header;
    /*
     An error keeps the instance from serving. `done` is called before it returns. `[server-thread]`
     */
    void (*selftest)(void *instance, struct chathost_done done);
} chathost_selftest_extension;

/* A text that ends with a zero byte, as bytes. */
static inline chathost_bytes chathost_text(const char *text)
{
    chathost_bytes bytes = { (const uint8_t *)text, strlen(text) };
    return bytes;
}

/* The beginning of a structure: chathost_header_of(sizeof(chathost_push)). */
static inline chathost_header chathost_header_of(size_t size)
{
    chathost_header header = { CHATHOST_ABI_VERSION, (uint32_t)size };
    return header;
}
