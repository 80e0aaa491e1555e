# Every command that Freezeframe is built, tried and tested with; README.md says what each is for.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build run test test-showcase test-kernels bench install install-data check screenshots setup setup-kernels bases clean

CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
TARGET := $(or $(CARGO_TARGET_DIR),target)
# A cargo that rustup has put there is often not in the PATH of root's shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Packages of Debian 12 and 13.
BUILD_PACKAGES := appstream build-essential ca-certificates gettext libadwaita-1-dev libgtk-4-dev pkg-config
RUN_PACKAGES := dbus-daemon debian-archive-keyring mmdebstrap passt tar uidmap
TEST_PACKAGES := adwaita-icon-theme at-spi2-core dbus-bin desktop-file-utils fonts-dejavu-core \
	imagemagick iproute2 librsvg2-common libxml2-utils openbox procps restic rsync tigervnc-standalone-server \
	tigervnc-viewer x11-utils x11-xserver-utils xclip xdotool xfce4-panel xterm xvfb zstd
PACKAGES := $(BUILD_PACKAGES) $(RUN_PACKAGES) $(TEST_PACKAGES)
KERNEL_PACKAGES := busybox-static cpio kmod qemu-system-x86 xz-utils zstd

# Bases that the tests start from, and the engine, are kept outside of the checkout: building them takes minutes.
ifeq ($(shell id -u),0)
FREEZEFRAME_CACHE ?= /var/cache/freezeframe
else
FREEZEFRAME_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/freezeframe
endif
export FREEZEFRAME_CACHE
BASES := minimal xfce

build: ## Builds everything, for use
	$(CARGO) build --workspace --release --locked

run: setup build ## Shows it: starts a desktop, saves it, stops it, resumes it, and leaves it running
	$(TARGET)/release/freezeframe-demo

test: setup ## Runs all tests
	$(CARGO) build --workspace --locked
	$(MAKE) --no-print-directory bases
	$(CARGO) test --workspace --exclude freezeframe-engine --locked
	# One after another: its guests are forks of the tests' program, and have what another test has open meanwhile.
	$(CARGO) test --package freezeframe-engine --locked -- --test-threads=1

test-showcase: setup ## Runs the test of many applications in one desktop, on its own large base
	$(CARGO) build --workspace --locked
	$(MAKE) --no-print-directory bases BASES=showcase
	$(CARGO) test --locked -p freezeframe-tests --test showcase -- --nocapture

test-kernels: setup setup-kernels ## Runs the native engine's tests under the kernels of Debian 12, 13 and sid, in QEMU
	$(CARGO) run --locked --package freezeframe-tests --bin freezeframe-kernels

bench: setup build ## Measures pause and resume, beside criu called by hand
	$(TARGET)/release/freezeframe-bench

screenshots: setup ## Takes the pictures of the README again, into data/screenshots
	$(CARGO) test --locked -p freezeframe --test face -- --ignored --exact pictures::writes_the_screenshots

check: ## Checks format, lints, documentation, licences and data files; changes nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "$(CARGO) deny --offline check bans licenses sources"; \
		$(CARGO) deny --offline --log-level warn check bans licenses sources; \
	else \
		echo "NOT CHECKED: licences and sources of dependencies; cargo-deny is not installed (cargo install cargo-deny)"; \
	fi
	desktop-file-validate data/*.desktop data/autostart/*.desktop
	appstreamcli validate --no-net data/*.metainfo.xml
	xmllint --noout data/dbus/*.xml data/icons/hicolor/*/apps/*.svg

# Installs what is missing, and only that: with nothing missing it takes a tenth of a second.
install_missing = missing=(); \
	for package in $(1); do \
		[ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing+=($$package); \
	done; \
	if [ $${\#missing[@]} -gt 0 ]; then \
		install=(apt-get install --yes --no-install-recommends "$${missing[@]}"); \
		command -v apt-get >/dev/null || { echo "This is not Debian: install $${missing[*]} by its own means."; exit 1; }; \
		[ "$$(id -u)" = 0 ] || { echo "As root: $${install[*]}"; exit 1; }; \
		apt-get update; \
		DEBIAN_FRONTEND=noninteractive "$${install[@]}"; \
	fi

setup-kernels: ## Installs the packages that `make test-kernels` needs (as root)
	@$(call install_missing,$(KERNEL_PACKAGES))

setup: ## Installs the packages that building, running and testing need (as root, on Debian 12 or 13)
	@$(call install_missing,$(PACKAGES))
	@if ! command -v $(CARGO) >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && apt-get install --yes --no-install-recommends rustup; then \
			rustup default stable; \
		else \
			echo "There is no cargo, and this release of Debian has no package rustup."; \
			echo "Install Rust as www.rust-lang.org/tools/install says, then try again."; exit 1; \
		fi; \
	fi

# Builds each base of the cache that is missing, or whose recipe has changed, and fetches the engine.
bases:
	@data="$$FREEZEFRAME_CACHE/freezeframe"; places=(--data "$$data" --runtime "$$FREEZEFRAME_CACHE/run"); \
	wrapper=$(TARGET)/debug/vnc-wrapper; \
	stages() { awk -F'"' '$$2 == "failed" { print } $$2 == "progress" && $$6 != s { s = $$6; print "  " s; fflush() }'; }; \
	mkdir -p -m 700 "$$FREEZEFRAME_CACHE" "$$FREEZEFRAME_CACHE/run"; \
	for base in $(BASES); do \
		recipe=data/bases/$$base.toml; stamp="$$FREEZEFRAME_CACHE/$$base.recipe"; \
		if [ -f "$$data/bases/$$base/base.json" ] && cmp -s $$recipe "$$stamp"; then continue; fi; \
		rm -f "$$stamp"; \
		if [ -d "$$data/bases/$$base" ]; then \
			echo "The recipe of the base $$base has changed: building it again."; \
			$$wrapper base remove "$${places[@]}" --name $$base | stages; \
		fi; \
		echo "Building the base $$base into $$data"; \
		$$wrapper base build "$${places[@]}" --name $$base --recipe $$recipe | stages; \
		cp $$recipe "$$stamp"; \
	done; \
	if [ "$$(id -u)" = 0 ]; then $$wrapper engine "$${places[@]}" | stages; fi

install: build install-data ## Installs below PREFIX (default /usr), in DESTDIR if that is given
	install -D -t "$(DESTDIR)$(PREFIX)/bin" $(TARGET)/release/freezeframe $(TARGET)/release/freezeframe-tray \
		$(TARGET)/release/sessionctl
	install -D -t "$(DESTDIR)$(PREFIX)/libexec/freezeframe" $(TARGET)/release/session-agent $(TARGET)/release/vnc-wrapper
	mkdir -p "$(DESTDIR)$(PREFIX)"/share/{dbus-1/services,bash-completion/completions,zsh/site-functions} \
		"$(DESTDIR)$(PREFIX)"/share/{fish/vendor_completions.d,man/man1} "$(DESTDIR)$(PREFIX)/lib/systemd/user"
	sed 's|@libexecdir@|$(PREFIX)/libexec|' data/io.github.freezeframe.SessionAgent1.service.in \
		> "$(DESTDIR)$(PREFIX)/share/dbus-1/services/io.github.freezeframe.SessionAgent1.service"
	sed 's|@libexecdir@|$(PREFIX)/libexec|' data/systemd/freezeframe-session-agent.service.in \
		> "$(DESTDIR)$(PREFIX)/lib/systemd/user/freezeframe-session-agent.service"
	sessionctl=$(TARGET)/release/sessionctl; share="$(DESTDIR)$(PREFIX)/share"; \
	$$sessionctl completions bash > "$$share/bash-completion/completions/sessionctl"; \
	$$sessionctl completions zsh > "$$share/zsh/site-functions/_sessionctl"; \
	$$sessionctl completions fish > "$$share/fish/vendor_completions.d/sessionctl.fish"; \
	$$sessionctl man > "$$share/man/man1/sessionctl.1"

# What needs no program of ours. Desktop entries and metainfo get the languages of data/po/ here.
install-data:
	install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/freezeframe/bases" data/bases/*.toml
	install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/dbus-1/interfaces" data/dbus/*.xml
	for icon in $$(cd data/icons && find . -name '*.svg'); do \
		install -D -m 644 "data/icons/$$icon" "$(DESTDIR)$(PREFIX)/share/icons/$$icon"; \
	done
	while read -r language; do \
		directory="$(DESTDIR)$(PREFIX)/share/locale/$$language/LC_MESSAGES"; mkdir -p "$$directory"; \
		msgfmt --output-file "$$directory/freezeframe.mo" "data/po/$$language.po"; \
	done < data/po/LINGUAS
	translate() { mkdir -p "$$3"; msgfmt "$$1" --template "$$2" -d data/po --output-file "$$3/$${2##*/}"; }; \
	for entry in data/*.desktop; do \
		translate --desktop "$$entry" "$(DESTDIR)$(PREFIX)/share/applications"; \
	done; \
	for entry in data/autostart/*.desktop; do \
		translate --desktop "$$entry" "$(DESTDIR)$(SYSCONFDIR)/xdg/autostart"; \
	done; \
	for component in data/*.metainfo.xml; do \
		translate --xml "$$component" "$(DESTDIR)$(PREFIX)/share/metainfo"; \
	done

clean: ## Removes what was built here; the cache of bases stays
	$(CARGO) clean
