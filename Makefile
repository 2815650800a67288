# The door onto CMake. `make demo` and `make test` install what they need, then do what they say.
PRESET ?= release

.PHONY: all build test test-long demo deps clean
all: build
build:
	cmake --preset $(PRESET) && cmake --build build/$(PRESET)
test:
	scripts/test
test-long:
	scripts/test long
demo:
	scripts/demo
deps:
	scripts/deps build test demo
clean:
	rm -rf build
