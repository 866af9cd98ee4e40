// Runs health checks and actions with the Lua that Argo CD has, for the tests of the installation.
module lua

go 1.26.7

require github.com/yuin/gopher-lua v1.1.2
