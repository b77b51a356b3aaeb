;; A guest for the tests of the host itself. The second character of :path says what it does with a request:
;;   c continue with x-guest set    r reply 403 "no"       d reply twice          p pause for ever
;;   s pause, call from the stream  w pause until woken    t trap                 q put into the queue, pause
;;   b pause, continue from body    k the root calls, and its reply wakes          m write x-bad with CR LF, continue
;; on_queue_ready and a reply to a call wake every waiting context (w, s, k, q) with continue; path /W with reply.
(module
  (type $alloc (func (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_set_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 65536))
  (global $queue (mut i32) (i32.const 0))
  (global $metric (mut i32) (i32.const 0))
  (global $root_wants (mut i32) (i32.const 0))
  (data (i32.const 0) ":path")
  (data (i32.const 16) "x-guest")
  (data (i32.const 32) "yes")
  (data (i32.const 48) "no")
  (data (i32.const 64) "queue")
  (data (i32.const 80) "idp")
  (data (i32.const 96) "ticks")
  (data (i32.const 112) "bad\0d\0avalue")
  (data (i32.const 144) "carded.code")
  ;; three pairs: :method GET, :path /keys, :authority idp
  (data (i32.const 160) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\05\00\00\00\0a\00\00\00\03\00\00\00:method\00GET\00:path\00/keys\00:authority\00idp\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    global.get $top
    (global.set $top (i32.add (global.get $top) (local.get $size))))
  ;; the mode of each context is a byte at 4096 + id
  (func $mode (param $id i32) (result i32) (i32.load8_u offset=4096 (local.get $id)))
  (func (export "proxy_on_context_create") (param $id i32) (param $root i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_configure") (param $id i32) (param $size i32) (result i32)
    (drop (call $register (i32.const 64) (i32.const 5) (i32.const 1024)))
    (global.set $queue (i32.load (i32.const 1024)))
    (drop (call $define (i32.const 0) (i32.const 96) (i32.const 5) (i32.const 1024)))
    (global.set $metric (i32.load (i32.const 1024)))
    (drop (call $tick (i32.const 100)))
    ;; "bad" as configuration is refused
    (if (i32.eq (local.get $size) (i32.const 3)) (then (return (i32.const 0))))
    i32.const 1)
  (func $fetch
    (drop (call $call (i32.const 80) (i32.const 3) (i32.const 160) (i32.const 69) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 2000) (i32.const 1040))))
  (func $refuse
    (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 48) (i32.const 2)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (local $m i32)
    (if (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028))
      (then (return (i32.const 0))))
    (local.set $m (i32.load8_u offset=1 (i32.load (i32.const 1024))))
    (i32.store8 offset=4096 (local.get $id) (local.get $m))
    (drop (call $property (i32.const 144) (i32.const 11) (i32.const 48) (i32.const 2)))
    (if (i32.eq (local.get $m) (i32.const 99)) (then ;; c
      (drop (call $set (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 3)))
      (return (i32.const 0))))
    (if (i32.eq (local.get $m) (i32.const 109)) (then ;; m
      (drop (call $set (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 112) (i32.const 10)))
      (return (i32.const 0))))
    (if (i32.eq (local.get $m) (i32.const 114)) (then (call $refuse) (return (i32.const 0)))) ;; r, with a Continue
    (if (i32.eq (local.get $m) (i32.const 100)) (then (call $refuse) (call $refuse))) ;; d
    (if (i32.eq (local.get $m) (i32.const 116)) (then unreachable)) ;; t
    (if (i32.eq (local.get $m) (i32.const 115)) (then (call $fetch))) ;; s
    (if (i32.eq (local.get $m) (i32.const 107)) (then (global.set $root_wants (i32.const 1)))) ;; k
    (if (i32.eq (local.get $m) (i32.const 113)) (then ;; q
      (drop (call $enqueue (global.get $queue) (i32.const 32) (i32.const 3)))))
    i32.const 1)
  (func (export "proxy_on_request_body") (param $id i32) (param i32 i32) (result i32)
    (if (result i32) (i32.or (i32.eq (call $mode (local.get $id)) (i32.const 98))
        (i32.eq (call $mode (local.get $id)) (i32.const 99)))
      (then (i32.const 0)) (else (i32.const 1))))
  (func (export "proxy_on_request_trailers") (param $id i32) (param i32) (result i32)
    (i32.ne (call $mode (local.get $id)) (i32.const 99)))
  ;; every context below 4096 that waits: w W s k q
  (func $wake
    (local $id i32) (local $m i32)
    (loop $next
      (local.set $id (i32.add (local.get $id) (i32.const 1)))
      (local.set $m (call $mode (local.get $id)))
      (if (i32.or (i32.or (i32.eq (local.get $m) (i32.const 119)) (i32.eq (local.get $m) (i32.const 115)))
            (i32.or (i32.eq (local.get $m) (i32.const 107)) (i32.eq (local.get $m) (i32.const 113)))) (then
        (if (i32.eqz (call $effective (local.get $id))) (then
          (i32.store8 offset=4096 (local.get $id) (i32.const 99))
          (drop (call $continue (i32.const 0)))))))
      (if (i32.eq (local.get $m) (i32.const 87)) (then
        (if (i32.eqz (call $effective (local.get $id))) (then
          (i32.store8 offset=4096 (local.get $id) (i32.const 0))
          (call $refuse)))))
      (br_if $next (i32.lt_u (local.get $id) (i32.const 4095)))))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (call $wake))
  (func (export "proxy_on_queue_ready") (param i32 i32)
    (if (i32.eqz (call $dequeue (global.get $queue) (i32.const 1024) (i32.const 1028))) (then (call $wake))))
  (func (export "proxy_on_tick") (param i32)
    (drop (call $increment (global.get $metric) (i64.const 1)))
    (if (global.get $root_wants) (then (global.set $root_wants (i32.const 0)) (call $fetch))))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) i32.const 0)
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) i32.const 1)
  (func (export "proxy_on_delete") (param $id i32) (i32.store8 offset=4096 (local.get $id) (i32.const 0))))
