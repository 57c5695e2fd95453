// A consumer on librabbitmq that acknowledges 64 messages at once: what BenchmarkThroughput compares Everhop
// with. Usage: librabbitmq HOST PORT USER PASSWORD VHOST QUEUE MESSAGES. It prints a score as JSON.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000LL + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000LL;
}

int main(int argc, char **argv) {
  enum { channel = 1, prefetch = 256, batch = 64 };
  if (argc != 8) return 2;
  amqp_connection_state_t c = amqp_new_connection();
  if (amqp_socket_open(amqp_tcp_socket_new(c), argv[1], atoi(argv[2])) != AMQP_STATUS_OK) return 1;
  if (amqp_login(c, argv[5], 0, 131072, 60, AMQP_SASL_METHOD_PLAIN, argv[3], argv[4]).reply_type != AMQP_RESPONSE_NORMAL) return 1;
  if (!amqp_channel_open(c, channel) || !amqp_basic_qos(c, channel, 0, prefetch, 0)) return 1;
  if (!amqp_basic_consume(c, channel, amqp_cstring_bytes(argv[6]), amqp_empty_bytes, 0, 0, 0, amqp_empty_table)) return 1;

  long messages = atol(argv[7]), acks = 0;
  long long began = 0, used = 0;
  for (long n = 1; n <= messages; n++) {
    amqp_envelope_t message;
    amqp_maybe_release_buffers(c);
    if (amqp_consume_message(c, &message, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL) return 1;
    if (n == 1) began = now(), used = cpu();
    long long ended = n == messages ? now() : 0, total = n == messages ? cpu() : 0;
    if (n % batch == 0 || n == messages) {
      if (amqp_basic_ack(c, channel, message.delivery_tag, 1) != AMQP_STATUS_OK) return 1;
      acks++;
    }
    amqp_destroy_envelope(&message);
    if (n == messages) {
      amqp_connection_close(c, AMQP_REPLY_SUCCESS);
      printf("{\"Handled\": %ld, \"Elapsed\": %lld, \"Drained\": %lld, \"CPU\": %lld, \"Acks\": %ld}\n",
             messages, ended - began, now() - ended, total - used, acks);
    }
  }
  return 0;
}
