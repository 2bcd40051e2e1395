/* A stand-in for libedgetpu.so.1: what TensorFlow Lite's interpreters and programs that list devices see of it, without a device.

   It claims the operators named "edgetpu-custom-op" and computes them itself: by asking the twin where there is one, else by a
   sum. Its faults are files in the folder that the environment variable STANDIN_EDGETPU names:

     devices   how many devices are attached, in digits; none without the file
     device-N  is locked (flock) by the process that uses device N; no other gets a delegate for it meanwhile
     refuse    no delegate can be made, though the device is listed
     load      loading the library ends the process, as a library that does not fit does
     stall     making a delegate waits until the file is gone
     hang      an inference waits until the file is gone
     abort     an inference removes the file and aborts the process: one abort per file
     twin      a Unix socket; a connection takes the input's bytes and returns the output's

   The structures are the beginnings, as far as they are used, of those in TensorFlow Lite's core/c/common.h (2.5 to LiteRT 2.x),
   whose order may grow but not change; the functions are those of its external delegates and of edgetpu_c.h. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CUSTOM_OPERATOR "edgetpu-custom-op"
#define MOST_DEVICES 16
#define POLL_MICROSECONDS 5000
#define ALLOW_DYNAMIC_TENSORS 1

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

typedef struct {
  int size;
  int data[];
} TfLiteIntArray;

struct TfLiteContext;
struct TfLiteDelegate;

typedef struct {
  int type;
  void *data;
  TfLiteIntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  struct TfLiteDelegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void *params;
  } quantization;
  void *sparsity;
  const TfLiteIntArray *dims_signature;
} TfLiteTensor;

typedef struct {
  TfLiteIntArray *inputs;
  TfLiteIntArray *outputs;
} TfLiteNode; /* goes on */

typedef struct {
  void *(*init)(struct TfLiteContext *, const char *, size_t);
  void (*free)(struct TfLiteContext *, void *);
  TfLiteStatus (*prepare)(struct TfLiteContext *, TfLiteNode *);
  TfLiteStatus (*invoke)(struct TfLiteContext *, TfLiteNode *);
  const char *(*profiling_string)(const struct TfLiteContext *, const TfLiteNode *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external;
  void *(*async_kernel)(struct TfLiteContext *, TfLiteNode *);
  uint64_t inplace_operator;
} TfLiteRegistration;

typedef struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(struct TfLiteContext *, TfLiteIntArray **);
  TfLiteTensor *tensors;
  void *impl_;
  TfLiteStatus (*ResizeTensor)(struct TfLiteContext *, TfLiteTensor *, TfLiteIntArray *);
  void (*ReportError)(struct TfLiteContext *, const char *, ...);
  TfLiteStatus (*AddTensors)(struct TfLiteContext *, int, int *);
  TfLiteStatus (*GetNodeAndRegistration)(struct TfLiteContext *, int, TfLiteNode **, TfLiteRegistration **);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(struct TfLiteContext *, TfLiteRegistration,
                                                        const TfLiteIntArray *, struct TfLiteDelegate *);
} TfLiteContext; /* goes on */

typedef struct TfLiteDelegate {
  void *data_;
  TfLiteStatus (*Prepare)(TfLiteContext *, struct TfLiteDelegate *);
  TfLiteStatus (*CopyFromBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int, TfLiteTensor *);
  TfLiteStatus (*CopyToBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int, TfLiteTensor *);
  void (*FreeBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int *);
  int64_t flags;
  void *opaque_delegate_builder;
} TfLiteDelegate;

enum edgetpu_device_type { EDGETPU_APEX_PCI = 0, EDGETPU_APEX_USB = 1 };

struct edgetpu_device {
  enum edgetpu_device_type type;
  const char *path;
};

/* --- the folder of faults --- */

/* Writes the path of a file in the folder; false where there is no folder. */
static bool path_of(const char *name, char *path, size_t size) {
  const char *folder = getenv("STANDIN_EDGETPU");
  return folder && snprintf(path, size, "%s/%s", folder, name) < (int)size;
}

static bool is_there(const char *name) {
  char path[512];
  return path_of(name, path, sizeof path) && access(path, F_OK) == 0;
}

/* Removes a file; true for the one caller that did. */
static bool taken(const char *name) {
  char path[512];
  return path_of(name, path, sizeof path) && unlink(path) == 0;
}

static int devices(void) {
  char path[512];
  int count = 0;
  FILE *file = path_of("devices", path, sizeof path) ? fopen(path, "r") : NULL;
  if (!file) return 0;
  if (fscanf(file, "%d", &count) != 1 || count < 0) count = 0;
  fclose(file);
  return count < MOST_DEVICES ? count : MOST_DEVICES;
}

/* --- one process at a time has a device, with any number of delegates --- */

static struct {
  int users;
  int lock;
} used[MOST_DEVICES];

static bool acquired(int device) {
  char path[512], name[32];
  snprintf(name, sizeof name, "device-%d", device);
  if (!used[device].users) {
    if (!path_of(name, path, sizeof path)) return false;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) return false;
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
      close(lock);
      return false;
    }
    used[device].lock = lock;
  }
  used[device].users++;
  return true;
}

static void release(int device) {
  if (--used[device].users == 0) close(used[device].lock);
}

/* --- what the operator computes --- */

static bool sent(int socket, const char *data, size_t left) {
  while (left) {
    ssize_t now = send(socket, data, left, MSG_NOSIGNAL);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    data += now;
    left -= (size_t)now;
  }
  return shutdown(socket, SHUT_WR) == 0;
}

static bool received(int socket, char *data, size_t left) {
  while (left) {
    ssize_t now = recv(socket, data, left, 0);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    data += now;
    left -= (size_t)now;
  }
  return true;
}

static bool answered_by_twin(const TfLiteTensor *input, TfLiteTensor *output) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path_of("twin", address.sun_path, sizeof address.sun_path)) return false;
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) return false;
  bool done = connect(connection, (struct sockaddr *)&address, sizeof address) == 0 &&
              sent(connection, input->data, input->bytes) && received(connection, output->data, output->bytes);
  close(connection);
  return done;
}

static void wait_while(const char *name) {
  while (is_there(name)) usleep(POLL_MICROSECONDS);
}

/* Without a twin: a byte of the output is the mean of its share of the input, which is cheap and differs with the picture. */
static void summed(const TfLiteTensor *input, TfLiteTensor *output) {
  const uint8_t *from = input->data;
  uint8_t *to = output->data;
  for (size_t at = 0; at < output->bytes; at++) {
    size_t first = at * input->bytes / output->bytes, last = (at + 1) * input->bytes / output->bytes;
    if (last <= first) last = first + 1;
    uint64_t sum = 0;
    for (size_t place = first; place < last; place++) sum += from[place];
    to[at] = (uint8_t)(sum / (last - first));
  }
}

/* --- the delegate --- */

static TfLiteStatus invoke(TfLiteContext *context, TfLiteNode *node) {
  const TfLiteTensor *input = &context->tensors[node->inputs->data[0]];
  TfLiteTensor *output = &context->tensors[node->outputs->data[0]];
  if (taken("abort")) {
    fprintf(stderr, "F stand-in: USB transfer error 1 [LibUsbDataInCallback]\n");
    abort();
  }
  wait_while("hang");
  if (!devices()) {
    context->ReportError(context, "The device is gone");
    return kTfLiteError;
  }
  if (!is_there("twin")) {
    summed(input, output);
  } else if (!answered_by_twin(input, output)) {
    context->ReportError(context, "The twin does not answer");
    return kTfLiteError;
  }
  return kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext *context, TfLiteNode *node) {
  if (node->inputs->size == 1 && node->outputs->size == 1) return kTfLiteOk;
  context->ReportError(context, "The operator has %d inputs and %d outputs", node->inputs->size, node->outputs->size);
  return kTfLiteError;
}

static TfLiteStatus claim(TfLiteContext *context, TfLiteDelegate *delegate) {
  TfLiteIntArray *plan = NULL;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  TfLiteIntArray *claimed = malloc(sizeof *claimed + sizeof(int) * (size_t)plan->size);
  if (!claimed) return kTfLiteError;
  claimed->size = 0;
  for (int at = 0; at < plan->size; at++) {
    TfLiteNode *node;
    TfLiteRegistration *found;
    if (context->GetNodeAndRegistration(context, plan->data[at], &node, &found) != kTfLiteOk) continue;
    if (found->custom_name && strcmp(found->custom_name, CUSTOM_OPERATOR) == 0) {
      claimed->data[claimed->size++] = plan->data[at];
    }
  }
  TfLiteRegistration kernel = {
      .prepare = prepare, .invoke = invoke, .custom_name = "EdgeTpuDelegateForCustomOp", .version = 1};
  TfLiteStatus status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, claimed, delegate);
  free(claimed);
  return status;
}

__attribute__((constructor)) static void loaded(void) {
  if (is_there("load")) {
    fprintf(stderr, "stand-in: this library does not fit this machine\n");
    abort();
  }
}

/* As in the real one, a device that is missing or busy gives no reason. */
EXPORT TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                                     void (*report_error)(const char *)) {
  int wanted = 0;
  for (size_t at = 0; at < count; at++) {
    if (strcmp(keys[at], "device") != 0) {
      if (report_error) report_error("Unknown option");
      return NULL;
    }
    const char *number = strchr(values[at], ':');
    if (number) wanted = atoi(number + 1);
  }
  wait_while("stall");
  if (is_there("refuse") || wanted < 0 || wanted >= devices() || !acquired(wanted)) return NULL;
  TfLiteDelegate *delegate = calloc(1, sizeof *delegate);
  if (!delegate) {
    release(wanted);
    return NULL;
  }
  delegate->data_ = &used[wanted];
  delegate->Prepare = claim;
  /* Otherwise the interpreter prepares the custom operator, which it does not know, before it asks the delegate. */
  delegate->flags = ALLOW_DYNAMIC_TENSORS;
  return delegate;
}

/* Called for what could not be made, too. */
EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate) {
  if (!delegate) return;
  int device = 0;
  while (device < MOST_DEVICES && delegate->data_ != &used[device]) device++;
  if (device < MOST_DEVICES) release(device);
  free(delegate);
}

EXPORT struct edgetpu_device *edgetpu_list_devices(size_t *count) {
  static char paths[MOST_DEVICES][64];
  *count = (size_t)devices();
  struct edgetpu_device *list = calloc(*count + 1, sizeof *list);
  if (!list) *count = 0;
  for (size_t at = 0; at < *count; at++) {
    snprintf(paths[at], sizeof paths[at], "/sys/bus/usb/devices/2-%zu", at + 1);
    list[at] = (struct edgetpu_device){EDGETPU_APEX_USB, paths[at]};
  }
  return list;
}

EXPORT void edgetpu_free_devices(struct edgetpu_device *list) { free(list); }

EXPORT const char *edgetpu_version(void) { return "stand-in, no Edge TPU"; }
