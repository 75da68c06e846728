# make            prefork, preforkctl and modules/NAME.so in build/release
# make run        install what is missing, build, serve conf/server.ini
# make check      install what is missing, build, run every test
# make help       all targets
#
# Variables: LINK_PYTHON=0, WITH_SECCOMP=0, CC, CFLAGS (appended last), WERROR=1, PREFIX, DESTDIR, V=1,
#   SAN=address,undefined | thread   the same build with sanitizers

VERSION := 0.1.0

PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR  ?= $(PREFIX)/lib
INCDIR  ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR  ?= $(DATADIR)/man
DOCDIR  ?= $(DATADIR)/doc/prefork
UNITDIR ?= $(PREFIX)/lib/systemd/system

SAN          ?=
PYTHON_PC    ?= python3-embed
# 0: without build/release/prefork-python3.N, where libpython is linked in: a
# tenth faster than python3.N.so, but not at an address that nobody can guess
LINK_PYTHON  ?= 1
# 0: without server.sandbox
WITH_SECCOMP ?= $(shell pkg-config --exists libseccomp 2>/dev/null && echo 1 \
  || echo 0)
WERROR       ?= 0
FUZZ_SECONDS ?= 3600
SOAK_SECONDS ?= 600
PYTEST       ?= $(firstword $(wildcard /usr/bin/python3) python3) -m pytest
# pytest's own arguments, as in make check-e2e PYTEST_ARGS='-k reload'
PYTEST_ARGS  ?= -q -rfEs -n 4
CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy
CPPCHECK     ?= cppcheck

# ---- sources: every .c file of the program stands here once ----------------

COMMON_C := \
  common/assert.c common/channel.c common/fd.c common/log.c \
  common/loop_memory.c common/scoreboard.c common/title.c

CONF_C := \
  conf/apps.c conf/assign.c conf/bind.c conf/cpus.c conf/docs.c conf/ini.c \
  conf/ini_write.c conf/list.c conf/load.c conf/load_environment.c \
  conf/load_file.c conf/load_option.c conf/load_target.c conf/mistake.c \
  conf/print.c conf/runtime.c conf/section.c conf/suggest.c conf/table.c \
  conf/trust.c conf/types_number.c conf/types_proxy.c conf/types_text.c

MASTER_C := \
  master/activation.c master/adopt.c master/caps.c master/carry_out.c \
  master/check.c master/child.c master/control.c master/control_socket.c \
  master/control_verbs.c master/daemon.c master/deployment.c \
  master/exit_text.c master/image.c master/json.c master/listen.c \
  master/listen_tcp.c master/listen_unix.c master/logs.c master/master.c master/notify.c \
  master/oom.c master/pidfile.c master/preforkctl/ask.c \
  master/preforkctl/record.c master/preforkctl/render.c master/priv.c \
  master/program.c master/reload.c master/self_test.c master/signals.c master/spawn.c \
  master/stall.c master/state.c master/supervisor.c \
  master/supervisor_image.c master/supervisor_rules.c master/template.c \
  master/upgrade.c \
  master/watch.c master/wrap.c

# server.sandbox, with libseccomp or without
SANDBOX_C_1 := worker/sandbox.c worker/sandbox_calls.c worker/sandbox_files.c
SANDBOX_C_0 := worker/sandbox_absent.c
SANDBOX_C = $(SANDBOX_C_$(WITH_SECCOMP))

WORKER_C := \
  worker/arena.c worker/baton.c worker/conn.c worker/fork_guard.c worker/host.c \
  worker/http/access_log.c worker/http/body.c worker/http/field.c \
  worker/http/forwarded.c worker/http/h1_body.c worker/http/h1_chunk.c \
  worker/http/h1_conn.c worker/http/h1_late.c worker/http/h1_length.c \
  worker/http/h1_parse.c worker/http/h1_proxied.c \
  worker/http/http_date.c worker/http/mime.c worker/http/response.c \
  worker/http/response_head.c worker/http/static.c \
  worker/http/static_condition.c worker/http/static_file.c \
  worker/http/static_path.c worker/http/static_range.c \
  worker/http/status.c worker/http/uri.c \
  worker/habit.c worker/idle.c worker/limits.c worker/mail.c worker/module.c worker/module_path.c worker/monitor.c \
  worker/net/accept.c worker/net/deadline.c worker/net/gate.c \
  worker/net/peer.c worker/net/per_ip.c worker/net/proxy_protocol.c worker/net/share.c \
  worker/orders.c worker/pool.c worker/python_module.c worker/ready.c worker/report.c worker/request.c worker/request_info.c \
  worker/route.c worker/runner.c $(SANDBOX_C) worker/template.c worker/warmup.c \
  worker/worker.c

MAIN_C    := master/main.c
CTL_C     := master/preforkctl/main.c
MODULES   := hello echo
UNITS     := prefork.service prefork.socket
PROXIES   := conf/deploy/haproxy.cfg conf/deploy/nginx.conf
DOCGEN_C  := conf/docgen.c master/docgen.c
SITE      := conf/site/index.html conf/site/style.css conf/site/favicon.svg
MANPAGES  := prefork.8 prefork.ini.5 prefork_module.3 preforkctl.1 prefork-migrate.7
TEST_C    := $(wildcard tests/unit/t_*.c)
MOCK_C    := $(filter-out $(TEST_C),$(wildcard tests/unit/*.c))
TESTMOD_C := $(wildcard tests/*/mod_*.c)
BENCH_C   := $(wildcard tests/bench/raw*.c)
FUZZ_C    := $(wildcard tests/fuzz/fuzz_*.c)

# ---- flags -----------------------------------------------------------------

flavour = $(or $(flavour_$(subst $(comma),_,$(SAN))),$(error SAN=$(SAN): \
  address,undefined, thread, valgrind, fuzzer or coverage))
comma := ,
flavour_                  := release
flavour_address_undefined := asan
flavour_undefined_address := asan
flavour_thread            := tsan
flavour_fuzzer            := fuzz
flavour_coverage          := coverage
flavour_valgrind          := valgrind
ifeq ($(SAN),)
BUILD := build/release
else
BUILD := build/$(flavour)
endif

cc-option = $(shell printf 'int x;' | $(CC) -Werror $(1) -x c -c -o /dev/null \
  - 2>/dev/null && echo '$(1)')
pkg = $(shell pkg-config $(1) $(2) 2>/dev/null || echo '$(3)')
system = $(patsubst -I%,-isystem %,$(1))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion \
  -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
  -Wcast-align -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wswitch-enum \
  -Wimplicit-fallthrough -Wnull-dereference
ifneq ($(filter-out clean fmt help uninstall,$(or $(MAKECMDGOALS),all)),)
WARNINGS += $(call cc-option,-Wcast-align=strict -Wlogical-op \
  -Wduplicated-cond -Wduplicated-branches)
HARDENING := -fstack-protector-strong \
  $(call cc-option,-fstack-clash-protection) \
  $(call cc-option,-fcf-protection) \
  $(call cc-option,-ftrivial-auto-var-init=zero)
EV_CFLAGS     := $(call system,$(call pkg,--cflags,libev,))
EV_LIBS       := $(call pkg,--libs,libev,-lev)
INIH_CFLAGS   := $(call system,$(call pkg,--cflags,inih,))
INIH_LIBS     := $(call pkg,--libs,inih,-linih)
# One module per minor version of Python: PYTHON_PC=python-3.12-embed
PYTHON_CFLAGS := $(call system,$(call pkg,--cflags,$(PYTHON_PC),))
PYTHON_LIBS   := $(call pkg,--libs,$(PYTHON_PC),)
PYTHON_MINOR  := $(call pkg,--modversion,$(PYTHON_PC),)
PYTHON_PREFIX := $(call pkg,--variable=exec_prefix,$(PYTHON_PC),)
# libpython as an archive, what it needs, and how programs are linked with it
PYTHON_VARS   := $(shell $(PYTHON_PREFIX)/bin/python$(PYTHON_MINOR) -c \
  'import sysconfig; print(*map(sysconfig.get_config_var, \
  ("LIBPL", "LIBRARY", "LIBS", "SYSLIBS", "MODLIBS")))' 2>/dev/null)
PYTHON_A      := $(wildcard $(word 1,$(PYTHON_VARS))/$(word 2,$(PYTHON_VARS)))
PYTHON_A_LIBS := $(wordlist 3,99,$(PYTHON_VARS))
ifeq ($(WITH_SECCOMP),1)
SECCOMP_CFLAGS := $(call system,$(call pkg,--cflags,libseccomp,))
SECCOMP_LIBS   := $(call pkg,--libs,libseccomp,-lseccomp)
endif
CMOCKA_CFLAGS := $(call system,$(call pkg,--cflags,cmocka,))
CMOCKA_LIBS   := $(call pkg,--libs,cmocka,-lcmocka)
endif
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

san_release  := -D_FORTIFY_SOURCE=3
san_asan     := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
  -fno-omit-frame-pointer
san_tsan     := -fsanitize=thread -fno-omit-frame-pointer
san_fuzz     := -fsanitize=fuzzer-no-link,address,undefined \
  -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# Memcheck is to see what nobody set: no zeros in it.
san_valgrind = -D_FORTIFY_SOURCE=3 \
  $(call cc-option,-ftrivial-auto-var-init=uninitialized)
san_coverage := --coverage -fprofile-update=atomic -O1 -fno-inline
SANFLAGS     := $(san_$(flavour))

PF_CPPFLAGS := -D_GNU_SOURCE -I. -Iworker/include $(EV_CFLAGS) $(INIH_CFLAGS) \
  $(SECCOMP_CFLAGS) \
  -DPREFORK_VERSION='"$(VERSION)"' \
  -DPREFORK_MODULE_DIR='"$(LIBDIR)/prefork/modules"'
PF_CFLAGS := -std=gnu11 -O2 -g -pthread $(WARNINGS) $(HARDENING) $(SANFLAGS) \
  -fvisibility=hidden
PF_LDFLAGS := -pthread -Wl,-z,relro,-z,now,-z,noexecstack \
  $(filter-out -D%,$(SANFLAGS))
PF_LIBS := $(EV_LIBS) $(INIH_LIBS) $(SECCOMP_LIBS) -ldl

# What is done, in a line; V=1 shows the commands.
quiet = $(if $(V),,@printf '  %-4s %s\n' $(1) $@; )
compile = $(call quiet,CC)$(CC) $(PF_CPPFLAGS) $(CPPFLAGS) $(PF_CFLAGS) $(1) -MMD -MP \
  $(CFLAGS) -c -o $@ $<
link = $(call quiet,LINK)$(CC) $(PF_CFLAGS) $(PF_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(1)

# ---- what to build ---------------------------------------------------------

LIB_C := $(COMMON_C) $(CONF_C) $(filter-out $(MAIN_C),$(MASTER_C)) $(WORKER_C)
LIB_O := $(LIB_C:%.c=$(BUILD)/obj/%.o)
LIB   := $(BUILD)/libprefork.a
MOCK_LIB := $(BUILD)/libmock.a
PYTHON_C := $(wildcard worker/modules/python/*.c)
SOURCES := $(sort $(LIB_C) $(SANDBOX_C_0) $(SANDBOX_C_1) $(MAIN_C) $(CTL_C) $(DOCGEN_C) $(PYTHON_C) \
  $(foreach m,$(MODULES),$(wildcard worker/modules/$(m)/*.c)))

BIN        := $(BUILD)/prefork
CTL        := $(BUILD)/preforkctl
MODULE_SO  := $(MODULES:%=$(BUILD)/modules/%.so)
PYTHON_SO  := $(PYTHON_MINOR:%=$(BUILD)/modules/python%.so)
PYTHON_LINK := $(BUILD)/modules/python3.so
PYTHON_BIN := $(if $(and $(filter 1,$(LINK_PYTHON)),$(PYTHON_A), \
  $(filter release clang,$(notdir $(BUILD)))),$(BUILD)/prefork-python$(PYTHON_MINOR))
DOCGEN     := $(DOCGEN_C:%.c=$(BUILD)/tools/%)
TESTS      := $(TEST_C:tests/unit/%.c=$(BUILD)/unit/%)
TESTMOD_SO := $(foreach c,$(TESTMOD_C),$(BUILD)/tests/$(basename \
  $(notdir $(c))).so)
# Programs to change into, for the tests of SIGUSR2: a later version, and one
# that does not read our state.
UPGRADES      := newer foreign
flags_newer   := -UPREFORK_VERSION -DPREFORK_VERSION='"0.99.0"' -DSCORE_VERSION=99u
flags_foreign := -DIMAGE_VERSION=99u
UPGRADE_C     := $(MASTER_C) $(MAIN_C) common/scoreboard.c
UPGRADE_BIN   := $(UPGRADES:%=$(BUILD)/upgrade/%/prefork)
BENCH_BIN  := $(BENCH_C:tests/bench/%.c=$(BUILD)/bench/%)
FUZZERS    := $(FUZZ_C:tests/fuzz/%.c=$(BUILD)/fuzz/%)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help run check check-parts check-unit check-e2e check-san \
  check-differential check-sandbox check-valgrind check-valgrind-parts check-fmt fmt check-layers \
  check-common check-docs docs tidy cppcheck analyze fuzz fuzz-run fuzzers bench bench-fibonacci bench-parser bench-wsgi soak install \
  uninstall clean check-fresh coverage deps deps-check test-programs FORCE

all: $(BIN) $(CTL) $(MODULE_SO) $(PYTHON_SO) $(PYTHON_BIN)
ifeq ($(PYTHON_SO),)
	@echo 'prefork: not built: the Python module ($(PYTHON_PC) is missing)'
endif
ifneq ($(WITH_SECCOMP),1)
	@echo 'prefork: not built: server.sandbox (no libseccomp, or WITH_SECCOMP=0)'
endif

# Objects depend on the flags they were made with.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(PF_CPPFLAGS) $(CPPFLAGS) \
	  $(PF_CFLAGS) $(CFLAGS) $(PF_LDFLAGS) $(LDFLAGS) $(PF_LIBS))' | \
	  cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(CC) $(PF_CPPFLAGS) \
	  $(CPPFLAGS) $(PF_CFLAGS) $(CFLAGS) $(PF_LDFLAGS) $(LDFLAGS) \
	  $(PF_LIBS))' >$@

$(BUILD)/obj/worker/modules/%.o: worker/modules/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call compile,-fPIC)

$(BUILD)/obj/tests/unit/%.o: tests/unit/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call compile,-fPIE $(CMOCKA_CFLAGS))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call compile,-fPIE)

$(LIB): $(LIB_O)
	@rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $^

$(BIN): $(MAIN_C:%.c=$(BUILD)/obj/%.o) $(LIB)
	$(call link,-pie $^ $(PF_LIBS))

$(CTL): $(CTL_C:%.c=$(BUILD)/obj/%.o) $(LIB)
	$(call link,-pie $^ $(PF_LIBS))

define upgrade-rule
$(BUILD)/upgrade/$(1)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call compile,-fPIE $$(flags_$(1)))
$(BUILD)/upgrade/$(1)/prefork: $(UPGRADE_C:%.c=$(BUILD)/upgrade/$(1)/obj/%.o) \
  $(LIB)
	$$(call link,-pie $$^ $$(PF_LIBS))
endef
$(foreach u,$(UPGRADES),$(eval $(call upgrade-rule,$(u))))

# One shared object per directory of worker/modules.
define module-rule
$(BUILD)/modules/$(1).so: $$(patsubst %.c,$(BUILD)/obj/%.o,$$(wildcard \
  worker/modules/$(1)/*.c))
	@mkdir -p $$(@D)
	$$(call link,-shared $$^)
endef
$(foreach m,$(MODULES),$(eval $(call module-rule,$(m))))

# The Python module stays in the process: its threads may outlive it.
PYTHON_O := $(PYTHON_C:worker/modules/python/%.c=$(BUILD)/obj/python$(PYTHON_MINOR)/%.o)
python_flags := -fPIC $(PYTHON_CFLAGS) \
  -DPYTHON_EXECUTABLE='"$(PYTHON_PREFIX)/bin/python$(PYTHON_MINOR)"'
$(BUILD)/obj/python$(PYTHON_MINOR)/%.o: worker/modules/python/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call compile,$(python_flags))
$(BUILD)/obj/python$(PYTHON_MINOR)/interpreter.o: \
  worker/modules/python/bootstrap.py
$(PYTHON_SO): $(PYTHON_O)
	@mkdir -p $(@D)
	$(call link,-shared -Wl$(comma)-z$(comma)nodelete $^ $(PYTHON_LIBS))
	$(if $(filter python3-embed,$(PYTHON_PC)),@ln -sf $(@F) $(PYTHON_LINK))
# Extension modules find libpython in the program, all of it.
$(PYTHON_BIN): $(MAIN_C:%.c=$(BUILD)/obj/%.o) $(PYTHON_O) $(LIB)
	$(call link,-no-pie -rdynamic $(filter %.o,$^) -Wl$(comma)--whole-archive \
	  $(PYTHON_A) -Wl$(comma)--no-whole-archive $(LIB) $(PF_LIBS) $(PYTHON_A_LIBS))

# tests/DIR/mod_NAME.c is a module that tests or benchmarks load.
define testmod-rule
$(BUILD)/tests/$(basename $(notdir $(1))).so: $(1) $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call quiet,LINK)$$(CC) $$(PF_CPPFLAGS) $$(CPPFLAGS) $$(PF_CFLAGS) -fPIC -MMD -MP \
	  $$(PF_LDFLAGS) $$(CFLAGS) $$(LDFLAGS) -shared -o $$@ $$<
endef
$(foreach c,$(TESTMOD_C),$(eval $(call testmod-rule,$(c))))

$(BUILD)/tools/%: $(BUILD)/obj/%.o $(LIB)
	@mkdir -p $(@D)
	$(call link,-pie $^ $(PF_LIBS))

# A test of a module, t_NAME, is linked with it.
$(MODULES:%=$(BUILD)/unit/t_%): $(BUILD)/unit/t_%: \
  $(BUILD)/obj/worker/modules/%.a
$(BUILD)/obj/worker/modules/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $^
$(foreach m,$(MODULES),$(eval $(BUILD)/obj/worker/modules/$(m).a: \
  $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard worker/modules/$(m)/*.c))))

# t_steps counts the branches that these take, and the bytes that they have the
# C library look at.
COUNTED_C := $(addprefix worker/,http/field.c http/forwarded.c http/h1_chunk.c \
  http/h1_length.c http/h1_parse.c http/http_date.c http/static_condition.c \
  http/static_range.c http/uri.c net/peer.c net/proxy_protocol.c) \
  $(addprefix conf/,bind.c list.c trust.c types_number.c types_proxy.c \
  types_text.c)
$(BUILD)/counted/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call compile,-fPIE -fsanitize-coverage=trace-pc -fno-builtin \
	  -U_FORTIFY_SOURCE)
$(BUILD)/unit/t_steps: $(COUNTED_C:%.c=$(BUILD)/counted/obj/%.o)

# What a test puts its own functions in the place of.
wrapped_t_supervisor_wrong := calloc pf_assert_failed
wrapped_t_listen := bind
wrapped_t_steps := memchr memrchr memcmp memcpy memmove
wrapped_t_template := channel_pair spawn_template sup_step
comma := ,

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(MOCK_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call link,-pie $(wrapped_$*:%=-Wl$(comma)--wrap=%) $(filter %.o,$^) \
	  $(filter-out $(LIB),$(filter %.a,$^)) $(LIB) $(CMOCKA_LIBS) $(PF_LIBS) -lm)

$(MOCK_LIB): $(MOCK_C:%.c=$(BUILD)/obj/%.o)
	@rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $^

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call link,-pie $^)

# The parser beside others, where they are installed.
has_header = $(shell $(CC) $(CPPFLAGS) -include $(1).h -E -x c /dev/null \
  >/dev/null 2>&1 && echo '$(1)')
PARSERS   = $(foreach p,http_parser llhttp,$(call has_header,$(p)))
PARSERS_O = $(PARSERS:%=$(BUILD)/obj/tests/bench/parser_%.o)
.SECONDEXPANSION:
$(BUILD)/bench/raw_parser: $(BUILD)/obj/tests/bench/raw_parser.o \
  $$(PARSERS_O) $(LIB)
	@mkdir -p $(@D)
	$(call link,-pie $^ $(PF_LIBS) $(PARSERS:%=-l%))

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	$(call link,-fsanitize=fuzzer -pie $^ $(PF_LIBS))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

help:
	@sed -n '/^# ---- targets/,$$s/^## //p' $(firstword $(MAKEFILE_LIST))

# ---- targets ---------------------------------------------------------------

## run           install what is missing, build, serve conf/server.ini
run:
	@tests/lint/deps.sh build
	@$(MAKE) --no-print-directory all
	exec build/release/prefork -c conf/server.ini

## deps          install what building needs;  deps-check: and testing
deps:
	@tests/lint/deps.sh build
deps-check:
	@tests/lint/deps.sh build check

## check         install what is missing, build, run every test
check: deps-check
	@$(MAKE) --no-print-directory check-parts
check-parts: check-unit check-e2e check-fmt check-layers check-common check-docs

test-programs: all $(TESTS) $(TESTMOD_SO) $(UPGRADE_BIN)

## check-unit    the cmocka tests
check-unit: all $(TESTS) $(TESTMOD_SO)
	@PREFORK_BUILD=$(CURDIR)/$(BUILD) tests/lint/unit.sh $(TESTS)

# Python packages from the index, for what needs them (tests/lint/venv.sh).
VENV       := build/venv
VENV_BENCH := build/venv-bench
$(VENV)/.stamp: tests/requirements.txt
$(VENV_BENCH)/.stamp: tests/bench/requirements.txt
$(VENV)/.stamp $(VENV_BENCH)/.stamp: tests/lint/venv.sh
	@tests/lint/venv.sh $(@D) $(filter %.txt,$^)

## check-e2e     the pytest tests of the running program
check-e2e: all $(TESTMOD_SO) $(UPGRADE_BIN) $(VENV)/.stamp
	PREFORK_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 \
	  $(PYTEST) -p no:cacheprovider $(PYTEST_ARGS) tests/e2e

## check-sandbox  what serves without Python serves within server.sandbox
SANDBOX_TESTS := static bodies slow_clients slow_readers gone_clients serving \
  blocking baton limits access_log modules http_corpus
check-sandbox: all $(TESTMOD_SO)
	PREFORK_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 \
	  PREFORK_OPTIONS=server.sandbox=yes $(PYTEST) -p no:cacheprovider \
	  $(PYTEST_ARGS) $(SANDBOX_TESTS:%=tests/e2e/test_%.py)

## check-valgrind  what memcheck can follow, under valgrind
VALGRIND := valgrind -q --vgdb=no --trace-children=yes --fair-sched=yes \
  --leak-check=full --show-leak-kinds=definite \
  --errors-for-leak-kinds=definite --error-exitcode=99 \
  --suppressions=$(CURDIR)/tests/lint/valgrind.supp
# openat2(), on which static files rest, is known to it from 3.24 on.
valgrind_without = $(shell printf '%s\n' valgrind-3.24 \
  "$$($(firstword $(VALGRIND)) --version)" | sort -CV || echo static)
# Limits of memory and the command line are its own there, not the program's.
VALGRIND_NOT = loop_memory title $(valgrind_without)
# Of tests/e2e are not here: exhausted limits descriptors, of which valgrind keeps
# the last for itself; names and preload look at the command line, upgrade at the
# file that runs; python_trouble counts on fractions of a second; a start of flask
# or django takes a minute; idle, linked_python and sandbox test what this build
# is without.
VALGRIND_E2E := access_log baton blocking bodies control crash daemon \
  defence first_start gone_clients haproxy http_corpus limits listeners load \
  master_dies modules never_down nginx privileges proxies reload secrets serving \
  siblings signals slow_clients slow_readers smuggling static systemd upgrade_wait \
  wsgi_environ wsgi_files wsgi_finding wsgi_input wsgi_iterable wsgi_lifecycle \
  wsgi_output wsgi_start_response
# Nor these of them: programs of the system that it would follow (unshare,
# mount), limits, and fractions of a second.
VALGRIND_K := not (pid_1 or group_of_many_members or no_process_to_be_had or \
  no_file_descriptor_left or over_its_time_and_a_queue or loop_backs_off or \
  bad_reload_changes_nothing or sibling_without_descriptors)
check-valgrind:
	@tests/lint/deps.sh build check valgrind
	@$(MAKE) --no-print-directory SAN=valgrind check-valgrind-parts
check-valgrind-parts: all $(TESTS) $(TESTMOD_SO) $(UPGRADE_BIN)
	@PREFORK_BUILD=$(CURDIR)/$(BUILD) PREFORK_UNDER='$(VALGRIND)' \
	  tests/lint/unit.sh $(filter-out $(VALGRIND_NOT:%=$(BUILD)/unit/t_%),$(TESTS))
	PREFORK_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 \
	  PREFORK_UNDER='$(VALGRIND)' PREFORK_WITHOUT='$(valgrind_without)' \
	  $(PYTEST) -p no:cacheprovider $(PYTEST_ARGS) -k '$(VALGRIND_K)' \
	  $(VALGRIND_E2E:%=tests/e2e/test_%.py)

## check-differential  beside nginx, Apache, HAProxy and gunicorn
check-differential: all $(TESTMOD_SO)
	@tests/lint/deps.sh check differential
	PREFORK_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 \
	  $(PYTEST) -p no:cacheprovider -q tests/differential

## soak          random events under load for SOAK_SECONDS (600)
soak: all $(TESTMOD_SO)
	PREFORK_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 \
	  SOAK_SECONDS=$(SOAK_SECONDS) \
	  $(firstword $(PYTEST)) tests/e2e/soak.py

## check-san     both under ASan + UBSan, then under TSan
check-san:
	$(MAKE) SAN=address,undefined check-unit check-e2e
	$(MAKE) SAN=thread check-unit check-e2e

C_AND_H = $(shell git ls-files -co --exclude-standard '*.[ch]' '*.def' \
  2>/dev/null || find common conf master worker tests -name '*.[ch]' -o \
  -name '*.def')

## fmt           format all C files;  check-fmt: are they?
fmt:
	$(CLANG_FORMAT) -i $(C_AND_H)
check-fmt:
	@$(CLANG_FORMAT) --dry-run --Werror $(C_AND_H)

## check-layers  who includes whom (HACKING.md)
check-layers:
	@tests/lint/layers.py $(SOURCES)

## check-common  is everything in common/ used by both sides?
check-common:
	@tests/lint/common.sh

## docs          write the generated parts of conf/ and man/
docs: $(DOCGEN)
	@tests/lint/docs.sh $(BUILD)/tools .

## check-docs    are they up to date, and do the man pages parse?
check-docs: $(DOCGEN)
	@tests/lint/check_docs.sh $(BUILD)/tools

ALL_C = $(SOURCES) $(TEST_C) $(MOCK_C) $(TESTMOD_C) $(BENCH_C) $(FUZZ_C)

## tidy          clang-tidy over all C files
tidy:
	@printf '%s\n' $(ALL_C) | xargs -P 2 -I{} $(CLANG_TIDY) --quiet {} -- \
	  -std=gnu11 $(PF_CPPFLAGS) $(python_flags) 2>/dev/null

## cppcheck      over all C files
cppcheck:
	@$(CPPCHECK) -q --error-exitcode=1 --std=c11 --template=gcc \
	  --enable=warning,performance,portability --library=python \
	  --library=tests/lint/cppcheck.cfg \
	  --suppressions-list=tests/lint/cppcheck.supp \
	  -D_GNU_SOURCE -I. -Iworker/include $(ALL_C)

## analyze       gcc -fanalyzer over all C files of the programs
# Its leak checks are off: gcc 12 loses an allocation that moves into a struct
# which a later realloc may move.  LeakSanitizer and the fuzzer look for leaks.
analyze:
	@printf '%s\n' $(SOURCES) | xargs -P 2 -I{} gcc $(PF_CPPFLAGS) \
	  $(python_flags) -std=gnu11 -O2 -fanalyzer -Wno-analyzer-malloc-leak \
	  -Wno-analyzer-file-leak -Werror -c -o /dev/null {}

## fuzz          each fuzz target for FUZZ_SECONDS, an hour if not said
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer fuzz-run
fuzzers: $(FUZZERS)
fuzz-run: fuzzers
	@tests/lint/fuzz.sh $(FUZZ_SECONDS) $(FUZZERS)

## bench         the measurements of README.md; BENCH='duel idle' for some,
##               BENCH=before BEFORE=REVISION against another revision
bench: all $(TESTMOD_SO) $(BENCH_BIN)
	PREFORK_BUILD=$(CURDIR)/$(BUILD) BEFORE=$(BEFORE) tests/bench/bench.py $(BENCH)

## bench-wsgi    Python beside its peers; BENCH='hello flask' for some
bench-wsgi: all $(BENCH_BIN) $(VENV_BENCH)/.stamp
	PREFORK_BUILD=$(CURDIR)/$(BUILD) tests/bench/wsgi.py $(BENCH)

## bench-fibonacci  a Flask page on prefork, gunicorn and Flask's own server
bench-fibonacci: all $(VENV_BENCH)/.stamp
	PREFORK_BUILD=$(CURDIR)/$(BUILD) tests/bench/fibonacci.py

## bench-parser  the request parser beside http-parser and llhttp
bench-parser: $(BUILD)/bench/raw_parser
	@$<

# Of these, the unit tests reach all.
WHOLE_C := $(filter master/supervisor%.c,$(MASTER_C))

## coverage      lines and branches reached by the unit tests, per file
coverage:
	@find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory SAN=coverage check-unit
	@WHOLE='$(WHOLE_C)' tests/lint/coverage.sh build/coverage $(LIB_C)

## check-fresh   make check and make run in a bare Debian 12 under build/fresh
check-fresh:
	tests/lint/fresh.sh

## install       under $(DESTDIR)$(PREFIX);  uninstall: take it away again
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) \
	  $(DESTDIR)$(LIBDIR)/prefork/modules \
	  $(DESTDIR)$(INCDIR)/prefork $(DESTDIR)$(DOCDIR)/conf/site \
	  $(DESTDIR)$(DOCDIR)/conf/deploy
	install -m 755 $(BIN) $(DESTDIR)$(SBINDIR)/prefork
	install -m 755 $(CTL) $(DESTDIR)$(BINDIR)/preforkctl
	install -m 755 $(MODULE_SO) $(PYTHON_SO) \
	  $(DESTDIR)$(LIBDIR)/prefork/modules
	[ ! -e $(PYTHON_LINK) ] || cp -d $(PYTHON_LINK) \
	  $(DESTDIR)$(LIBDIR)/prefork/modules
	$(if $(PYTHON_BIN),install -m 755 $(PYTHON_BIN) $(DESTDIR)$(LIBDIR)/prefork)
	install -m 644 worker/include/prefork/module.h \
	  worker/include/prefork/headers.def $(DESTDIR)$(INCDIR)/prefork
	install -m 644 conf/server.ini $(DESTDIR)$(DOCDIR)/server.ini
	install -m 644 $(SITE) $(DESTDIR)$(DOCDIR)/conf/site
	install -m 644 $(PROXIES) $(DESTDIR)$(DOCDIR)/conf/deploy
	install -d $(DESTDIR)$(UNITDIR)
	for u in $(UNITS); do sed 's|/usr/local/sbin/|$(SBINDIR)/|' \
	  conf/deploy/$$u >$(DESTDIR)$(UNITDIR)/$$u || exit 1; \
	  chmod 644 $(DESTDIR)$(UNITDIR)/$$u; done
	for m in $(MANPAGES); do d=$(DESTDIR)$(MANDIR)/man$${m##*.}; \
	  install -d $$d && install -m 644 man/$$m $$d/$$m || exit 1; done
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/prefork $(DESTDIR)$(BINDIR)/preforkctl
	rm -f $(MODULES:%=$(DESTDIR)$(LIBDIR)/prefork/modules/%.so) \
	  $(DESTDIR)$(LIBDIR)/prefork/modules/python3*.so \
	  $(DESTDIR)$(LIBDIR)/prefork/prefork-python3*
	rm -f $(DESTDIR)$(INCDIR)/prefork/module.h \
	  $(DESTDIR)$(INCDIR)/prefork/headers.def
	rm -f $(DESTDIR)$(DOCDIR)/server.ini $(SITE:%=$(DESTDIR)$(DOCDIR)/%) \
	  $(PROXIES:%=$(DESTDIR)$(DOCDIR)/%)
	rm -f $(UNITS:%=$(DESTDIR)$(UNITDIR)/%)
	for m in $(MANPAGES); do \
	  rm -f $(DESTDIR)$(MANDIR)/man$${m##*.}/$$m; done
	-rmdir $(DESTDIR)$(LIBDIR)/prefork/modules $(DESTDIR)$(LIBDIR)/prefork \
	  $(DESTDIR)$(INCDIR)/prefork $(DESTDIR)$(DOCDIR)/conf/site \
	  $(DESTDIR)$(DOCDIR)/conf/deploy $(DESTDIR)$(DOCDIR)/conf \
	  $(DESTDIR)$(DOCDIR) 2>/dev/null

## clean         remove build/
clean:
	rm -rf build
