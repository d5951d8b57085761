/* The loader: two buffers, a count of batches made and one of batches handed out.
 *
 * Batch i lies in buffer i % 2. The thread may make it when batch i - 2 is no longer with the
 * caller, who has batch `taken` - 1: when i <= taken. */
#include "examples/lm/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct lm_loader {
  lm_loader_fill *fill;
  void *user;
  int32_t *buffer[2];
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int64_t made, taken; /* batches; these and the two below are guarded by the lock */
  bool stop, failed;
  char err[LM_ERROR_SIZE];
};

static void *work(void *user) {
  lm_loader *l = user;
  char err[LM_ERROR_SIZE] = "";
  pthread_mutex_lock(&l->lock);
  while (!l->stop && !l->failed) {
    if (l->made > l->taken) {
      pthread_cond_wait(&l->changed, &l->lock);
      continue;
    }
    int32_t *batch = l->buffer[l->made % 2];
    pthread_mutex_unlock(&l->lock);
    bool ok = l->fill(l->user, batch, err);
    pthread_mutex_lock(&l->lock);
    l->made += ok;
    l->failed = !ok;
    memcpy(l->err, err, sizeof err);
    pthread_cond_broadcast(&l->changed);
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

/* Signals are the main thread's: this one gets none. */
static bool start(lm_loader *l) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool ok = pthread_create(&l->thread, NULL, work, l) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

static void release(lm_loader *l) {
  free(l->buffer[0]);
  free(l->buffer[1]);
  free(l);
}

lm_loader *lm_loader_new(lm_loader_fill *fill, void *user, int64_t count, char *err) {
  lm_loader *l = lm_alloc(1, sizeof *l, err);
  if (!l) return NULL;
  l->fill = fill;
  l->user = user;
  for (int i = 0; i < 2; i++) l->buffer[i] = lm_alloc(count, sizeof *l->buffer[i], err);
  if (!l->buffer[0] || !l->buffer[1]) {
    release(l);
    return NULL;
  }
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->changed, NULL);
  if (start(l)) return l;
  lm_fail(err, "cannot start a thread to read the data");
  pthread_cond_destroy(&l->changed);
  pthread_mutex_destroy(&l->lock);
  release(l);
  return NULL;
}

const int32_t *lm_loader_next(lm_loader *l, char *err) {
  pthread_mutex_lock(&l->lock);
  while (l->made == l->taken && !l->failed) pthread_cond_wait(&l->changed, &l->lock);
  const int32_t *batch = NULL;
  if (l->made > l->taken)
    batch = l->buffer[l->taken++ % 2];
  else
    lm_fail(err, "%s", l->err);
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
  return batch;
}

void lm_loader_free(lm_loader *l) {
  if (!l) return;
  pthread_mutex_lock(&l->lock);
  l->stop = true;
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
  pthread_join(l->thread, NULL);
  pthread_cond_destroy(&l->changed);
  pthread_mutex_destroy(&l->lock);
  release(l);
}
