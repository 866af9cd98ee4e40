// Runs scripts as Argo CD does: with the same Lua, the same libraries and the same limit of a second. It reads scripts,
// each with an object, from standard input, and writes the value or the error of each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
)

type question struct {
	Script string `json:"script"`
	Object any    `json:"object"`
}

type answer struct {
	Value any    `json:"value"`
	Error string `json:"error"`
}

func main() {
	var asked []question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	told := []answer{}
	for _, one := range asked {
		returned, err := run(one)
		if err != nil {
			told = append(told, answer{Error: err.Error()})
			continue
		}
		told = append(told, answer{Value: restored(returned, one.Object)})
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}

func run(asked question) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		open := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(open, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, clock)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", value(state, asked.Object))
	if err := state.DoString(asked.Script); err != nil {
		return nil, err
	}
	returned, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("it returned %s", state.Get(-1).Type())
	}
	return plain(returned), nil
}

// clock is the part of the library `os` that Argo CD provides to scripts that require it.
func clock(state *lua.LState) int {
	lua.OpenOs(state)
	all := state.ToTable(-1)
	state.SetGlobal(lua.OsLibName, lua.LNil)
	part := state.NewTable()
	for _, name := range []string{"time", "date"} {
		part.RawSetString(name, all.RawGetString(name))
	}
	state.Push(part)
	return 1
}

// plain converts a Lua value to JSON. An empty table becomes a list, as in Argo CD.
func plain(of lua.LValue) any {
	switch of := of.(type) {
	case lua.LBool:
		return bool(of)
	case lua.LNumber:
		return float64(of)
	case lua.LString:
		return string(of)
	case *lua.LTable:
		if first, _ := of.Next(lua.LNil); first == lua.LNil || of.Len() > 0 {
			list := []any{}
			for index := 1; index <= of.Len(); index++ {
				list = append(list, plain(of.RawGetInt(index)))
			}
			return list
		}
		object := map[string]any{}
		of.ForEach(func(key, item lua.LValue) { object[key.String()] = plain(item) })
		return object
	}
	return nil
}

// restored converts an empty list back to an object if the original has an object, as Argo CD does.
func restored(of, original any) any {
	switch of := of.(type) {
	case map[string]any:
		original, _ := original.(map[string]any)
		for key, item := range of {
			of[key] = restored(item, original[key])
		}
	case []any:
		if _, isObject := original.(map[string]any); isObject && len(of) == 0 {
			return map[string]any{}
		}
		original, _ := original.([]any)
		for index := range min(len(of), len(original)) {
			of[index] = restored(of[index], original[index])
		}
	}
	return of
}

// value converts JSON to a Lua value.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case bool:
		return lua.LBool(of)
	case float64:
		return lua.LNumber(of)
	case string:
		return lua.LString(of)
	case []any:
		list := state.NewTable()
		for _, item := range of {
			list.Append(value(state, item))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
